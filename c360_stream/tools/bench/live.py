"""A run that tails its input, and a stream of events for it: for the benchmarks of what happens meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import C360Error
from c360_stream.tools.bench.runs import own_environment
from c360_stream.tools.bench.sample import DAY_MS, START_DAY, Sample

SECONDS_MAX = 600.0
POLL_SECONDS = 0.02
SEND_SECONDS = 0.002
BEAT_SECONDS = 1.0
"""As often every partition gets an event, so that none holds the watermark back."""
_PAGE = re.compile(r"metrics at (\S+)")


class Running:
    """A run that tails its input, with its output."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    def total(self, name: str) -> float:
        """Sum of a metric over its labels; 0 before the run serves metrics."""
        if (found := _PAGE.search(self.output())) is None:
            return 0.0
        try:
            with urlopen(found[1], timeout=5) as page:  # noqa: S310 - an address that the run has printed
                families = list(text_string_to_metric_families(page.read().decode()))
        except OSError:
            return 0.0
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def output(self) -> str:
        """The output so far."""
        return self._output.read_text()

    def wait(self, condition: Callable[[], bool], poll_seconds: float = POLL_SECONDS) -> None:
        """Wait until a condition holds.

        Raises
        ------
        C360Error
            If the run ends before it does, or it takes too long.
        """
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise C360Error(f"the run did not get there: {self.output().strip()[-500:]}", "run `c360 doctor`")
            time.sleep(poll_seconds)


@contextmanager
def running(settings: Mapping[str, str], home: Path) -> Iterator[Running]:
    """Start `c360 run` with a recovery directory, away from this process's configuration; kill it at the end."""
    command = [sys.executable, "-m", "c360_stream", "run", "--recovery", str(home / "recovery")]
    output = home / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - this very program
            command, env=own_environment(settings), cwd=home, stdout=file, stderr=file
        )
    try:
        yield Running(process, output)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Event:
    """A line for a partition of an input topic."""

    kind: InputKind
    partition: int
    account: str
    line: bytes


class EventClock:
    """Event time that goes on as the wall clock does, and leaps on demand: a night takes no time."""

    def __init__(self, start_ms: int) -> None:
        self._origin_ms = start_ms - time.time() * 1000

    def leap_to(self, to_ms: int) -> None:
        """Go on from there."""
        self._origin_ms = to_ms - time.time() * 1000

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return int(time.time() * 1000 + self._origin_ms)


class Stream(threading.Thread):
    """Sends product events of a sample's accounts at a rate, and one event per second to every other partition.

    Parameters
    ----------
    sample
        Whose accounts and partitions.
    rate
        Product events per second.
    clock
        Event time.
    send
        Takes events, and the event time in milliseconds that they were given just now.
    """

    def __init__(self, sample: Sample, rate: int, clock: EventClock, send: Callable[[list[Event], int], None]) -> None:
        super().__init__(name="stream", daemon=True)
        self.sample = sample
        self._rate = rate
        self.clock = clock
        self._send = send
        self._rng = np.random.default_rng([sample.spec.seed, 99])
        self._stopping = threading.Event()
        self._sent = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        """Send until stopped."""
        began = beat = time.monotonic()
        try:
            while not self._stopping.wait(SEND_SECONDS):
                now, at_ms = time.monotonic(), self.clock.now_ms()
                events = self._product(int((now - began) * self._rate) - self._sent, at_ms)
                if now >= beat:
                    beat += BEAT_SECONDS
                    events += self.beat(at_ms)
                self._send(events, at_ms)
        except Exception as error:
            self.failure = error

    def stop(self) -> None:
        """End it; raise what it failed with."""
        self._stopping.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def beat(self, at_ms: int) -> list[Event]:
        """An event for every partition of every topic."""
        bodies: dict[InputKind, str] = {
            "product": '"event_type":"page_viewed","user_id":"user-00000000"',
            "billing": '"event_type":"invoice_paid","amount_cents":100',
            "support": '"event_type":"ticket_solved","ticket_id":"T-0"',
        }
        parts = range(self.sample.spec.partitions)
        return [self._event(kind, part, at_ms, bodies[kind]) for kind in INPUT_KINDS for part in parts]

    def _product(self, count: int, at_ms: int) -> list[Event]:
        accounts, users = self.sample.draw_users(self._rng, max(count, 0))
        return [
            self._event("product", account, at_ms, f'"event_type":"page_viewed","user_id":"user-{user:08d}"')
            for account, user in zip(accounts.tolist(), users.tolist(), strict=True)
        ]

    def _event(self, kind: InputKind, account: int, at_ms: int, body: str) -> Event:
        self._sent += kind == "product"
        name = f"acct-{account:06d}"
        head = f'{{"event_id":"live-{kind[0]}-{account}-{self._sent:x}-{at_ms:x}","account_id":"{name}"'
        line = f'{head},"occurred_at":"{rfc3339(at_ms)}",{body},"properties":{{"client":"web"}}}}'
        return Event(kind, account % self.sample.spec.partitions, name, line.encode())


def rfc3339(at_ms: int) -> str:
    """Milliseconds since the Unix epoch as events and scores write them."""
    return f"{np.datetime64(at_ms, 'ms')}Z"


def at_ms(day: int, hours: float) -> int:
    """A time of day, so many days after the first day of the samples."""
    return (START_DAY + day) * DAY_MS + int(hours * 3_600_000)
