"""A run counts its dead letters with their reasons, the most frequent first, and never shows what was in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECRET = "hunter2-of-a-customer"
SECONDS_MAX = 120.0


def event(number: int, **fields: object) -> bytes:
    known = {"event_id": f"e{number}", "account_id": "acme", "event_type": "page_viewed", "user_id": "u"}
    return json.dumps({**known, "occurred_at": f"2025-03-05T09:{number:02}:00Z", **fields}).encode()


def write(log: Path, kind: str, *lines: bytes) -> None:
    topic = log / f"c360.{kind}.events.v1"
    topic.mkdir(parents=True)
    (topic / "0.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def test_the_end_of_a_run_says_why_records_were_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = {"event_type": "subscription_started", "plan": "team", "mrr_cents": 100, "seats": 5}
    write(log, "billing", event(1, **started), *(event(2 + n, **started | {"seats": SECRET}) for n in range(3)))
    write(log, "support", event(1, event_type=SECRET), b"\xff" + SECRET.encode(), b'{"a"' + SECRET.encode())
    # Where JSON breaks off is no reason of its own.
    write(log, "product", event(1), *(b" " * n + b"{" + SECRET.encode() for n in range(5)), event(9, account_id=""))
    command = [sys.executable, "-m", "c360_stream", "run", "--until-end", "--log-dir", str(log)]
    env = {**os.environ, "C360_LOG_FORMAT": "json", "C360_METRICS_ADDRESS": "127.0.0.1:0"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS_MAX, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    assert " 12 dead letters, " in done.stderr
    ended = json.loads(done.stderr.splitlines()[-1])
    told = list(ended["dead_letter_reasons"].items())
    assert told[0][0].startswith("c360.product.events.v1: JSON is malformed: ")
    assert told[1][0].startswith("c360.billing.events.v1: seats: ")
    assert [number for _, number in told] == [5, 3, 1, 1, 1, 1]
    assert SECRET not in done.stderr + done.stdout
