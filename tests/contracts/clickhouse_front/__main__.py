"""Serve: see the package."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from tests.contracts.clickhouse_front.control import ControlServer
from tests.contracts.clickhouse_front.engine import Engine
from tests.contracts.clickhouse_front.front import Front
from tests.contracts.clickhouse_front.listener import serve_in_background


def main() -> None:
    """Serve until SIGTERM, or with --while-stdin-open until whoever started this is gone."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.clickhouse_front", description=main.__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where chDB keeps the database")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    parser.add_argument("--owner", default="", help="USER:PASSWORD of one who may do as --user does")
    parser.add_argument("--reader", default="", help="USER:PASSWORD of another user")
    parser.add_argument("--reader-profile", default='{"readonly": "2"}', help="JSON: the settings of that user")
    parser.add_argument("--users", type=Path, help="absolute path of a config.xml: grants of user `default`, for all")
    parser.add_argument("--certificate", help="PEM file: TLS instead of plain HTTP")
    parser.add_argument("--key", help="PEM file of the certificate's private key")
    parser.add_argument("--while-stdin-open", action="store_true")
    options = parser.parse_args()
    if options.users:
        os.chdir(options.users.parent)
    engine = Engine(options.dir, options.users)
    front = Front(engine, options)

    def ready() -> None:
        control = ControlServer(front)
        serve_in_background(control)
        print(json.dumps({"address": front.up(), "control": f"127.0.0.1:{control.server_port}"}), flush=True)

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        engine.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    if options.while_stdin_open:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    engine.serve(ready)
    front.down()


if __name__ == "__main__":
    main()
