"""Bring the stack up without containers: `python -m tests.integration.stack`.

It stays until Ctrl-C and says where everything is.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from tests.integration.kafka_broker import KafkaUnavailableError
from tests.integration.stack.processes import StackError
from tests.integration.stack.stack import Stack

ACCOUNTS, DAYS = 250, 365


def main() -> int:
    """Exit code 0 done or stopped, 1 failed, 2 something is missing on this machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.stack", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help=f"of the simulated company; default {ACCOUNTS}")
    parser.add_argument("--days", type=int, default=DAYS, help=f"of its history; default {DAYS}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="c360-stack-") as folder:
        try:
            with Stack(Path(folder), accounts=options.accounts, days=options.days) as stack:
                print(f"up; output in {folder}; history comes first\n{_addresses(stack)}", flush=True)
                stack.wait_for_live(0)
                print("live", flush=True)
                threading.Event().wait()
        except KeyboardInterrupt:
            pass
        except KafkaUnavailableError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _addresses(stack: Stack) -> str:
    ports = {"prometheus": 9090, "alertmanager": 9093, "kafka": 9094, "clickhouse": 8123}
    places = [f"{name}: {stack.places.address(name, port)}" for name, port in ports.items()]
    return "\n".join([*places, *(f"worker: http://{address}/metrics" for address in stack.worker_addresses())])


if __name__ == "__main__":
    sys.exit(main())
