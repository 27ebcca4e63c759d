"""The state of the running processes, from their `/metrics` pages."""

from __future__ import annotations

import contextlib
import http.client
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from c360_stream.logs.refusals import Refusals, reason_lines, reason_records

PROCESSES_MAX = 64
PAGE_BYTES_MAX = 4 * 1024 * 1024
PAGE_BYTES_READ = 64 * 1024
SECONDS_MAX = 0.5
"""A process that takes longer to answer is slow."""
SLOW_MAX = 4
"""After so many slow ones no further process is asked: a board has to be drawn in between."""

_OURS = "c360_build_info"


@dataclass(frozen=True)
class Process:
    """The state of one process.

    Attributes
    ----------
    address
        Address of its metrics page.
    state
        `slow`: it took the connection and did not answer in time, so nothing below is known.
    silent_seconds
        For how long a slow one has not answered.
    watermark_seconds
        Unix seconds; None before there is one.
    lag_records, lag_bytes
        How far it is behind the end of Kafka's partitions, or of a log directory's; None of the other.
    dead_letters, late_events
        Since its start.
    refusals
        Dead letters by topic and reason.
    """

    address: str
    state: Literal["running", "slow"]
    silent_seconds: float = 0.0
    watermark_seconds: float | None = None
    lag_records: int | None = None
    lag_bytes: int | None = None
    dead_letters: int = 0
    late_events: int = 0
    refusals: Refusals = field(default_factory=Counter)

    def record(self) -> dict[str, object]:
        """The same for `--json`; what is unknown of a slow process is null."""
        running, watermark = self.state == "running", self.watermark_seconds
        return {
            "address": self.address,
            "state": self.state,
            "silent_seconds": None if running else self.silent_seconds,
            "watermark": None if watermark is None else datetime.fromtimestamp(watermark, UTC),
            "consumer_lag_records": self.lag_records,
            "consumer_lag_bytes": self.lag_bytes,
            "dead_letters": self.dead_letters if running else None,
            "dead_letter_reasons": reason_records(self.refusals) if running else None,
            "late_events": self.late_events if running else None,
        }


class Scraper:
    """Asks the processes of a run, again and again.

    Parameters
    ----------
    address
        Of the first process; the others are at the ports after it. One with port 0 cannot be found.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._silent_since: dict[str, float] = {}

    def look(self) -> list[Process]:
        """Ask one after the other until a connection is refused."""
        asked_at = time.monotonic()
        found = [_process(page) for page in _pages(self._address)]
        slow = [each.address for each in found if each.state == "slow"]
        self._silent_since = {each: self._silent_since.get(each, asked_at) for each in slow}
        now = time.monotonic()
        return [
            replace(each, silent_seconds=now - self._silent_since[each.address]) if each.state == "slow" else each
            for each in found
        ]


def scrape(address: str) -> list[Process]:
    """Ask the processes once, as `Scraper` does."""
    return Scraper(address).look()


def process_lines(processes: Sequence[Process]) -> list[str]:
    """Lines for a person: sums over the processes that answer, the earliest watermark, and which are slow."""
    running = [each for each in processes if each.state == "running"]
    if not processes:
        return ["no running process answers at C360_METRICS_ADDRESS"]
    lines = [_sums(running)] if running else []
    refusals: Refusals = sum((each.refusals for each in running), Counter())
    lines += [f"dead letters: {line}" for line in reason_lines(refusals)]
    lines += [slow_line(each) for each in processes if each.state == "slow"]
    return lines


def slow_line(process: Process) -> str:
    """The line about a process that takes connections and does not answer."""
    return f"process at {process.address} is slow: no answer for {process.silent_seconds:,.1f} s"


def _sums(running: Sequence[Process]) -> str:
    watermarks = [each.watermark_seconds for each in running if each.watermark_seconds is not None]
    watermark = f"{datetime.fromtimestamp(min(watermarks), UTC):%Y-%m-%d %H:%M} UTC" if watermarks else "not set"
    return (
        f"{len(running)} process(es) · watermark {watermark} · behind {_behind(running)}"
        f" · {sum(each.dead_letters for each in running):,} dead letters"
        f" · {sum(each.late_events for each in running):,} late events"
    )


def _behind(running: Sequence[Process]) -> str:
    """Kafka counts records, a log directory bytes: a process has one of them once it has read something."""
    records = [each.lag_records for each in running if each.lag_records is not None]
    size_bytes = [each.lag_bytes for each in running if each.lag_bytes is not None]
    known = [f"{sum(records):,} records"] if records else []
    known += [f"{sum(size_bytes) / 1e6:,.1f} MB of log"] if size_bytes else []
    return " and ".join(known) or "not known yet"


def partitions_read(address: str) -> dict[str, int]:
    """How many partitions of each input topic the running processes read; empty if none answers."""
    families = (family for page in _pages(address) for family in text_string_to_metric_families(page.text))
    samples = (sample for family in families for sample in family.samples)
    return {each.labels["topic"]: int(each.value) for each in samples if each.name == "c360_input_partitions"}


class _Page(NamedTuple):
    """A metrics page; one of a slow process is empty."""

    address: str
    slow: bool
    text: str


def _process(page: _Page) -> Process:
    if page.slow:
        return Process(page.address, "slow")
    totals: dict[str, float] = defaultdict(float)
    refusals: Refusals = Counter()
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            totals[sample.name] += sample.value
            if sample.name == "c360_dead_letter_reasons_total":
                refusals[sample.labels["topic"], sample.labels["reason"]] += int(sample.value)
    watermark = totals.get("c360_watermark_timestamp_seconds", math.nan)
    return Process(
        page.address,
        "running",
        watermark_seconds=None if math.isnan(watermark) else watermark,
        lag_records=_count(totals, "c360_consumer_lag_records"),
        lag_bytes=_count(totals, "c360_consumer_lag_bytes"),
        dead_letters=int(totals["c360_dead_letters_total"]),
        late_events=int(totals["c360_late_events_total"]),
        refusals=refusals,
    )


def _count(totals: dict[str, float], name: str) -> int | None:
    return int(totals[name]) if name in totals else None


def _pages(address: str) -> Iterator[_Page]:
    """The metrics of the processes at an address and the ports after it, until one is not there."""
    host, _, first = address.rpartition(":")
    slow = 0
    for port in range(int(first), int(first) + PROCESSES_MAX) if int(first) else ():
        page = _page(host, port)
        if page is None:
            return
        yield page
        slow += page.slow
        if slow == SLOW_MAX:
            return


def _page(host: str, port: int) -> _Page | None:
    """The metrics page; None if there is none."""
    address = f"{host}:{port}"
    deadline = time.monotonic() + SECONDS_MAX
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=SECONDS_MAX)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.connect()
        try:
            socket = connection.sock
            socket.settimeout(_left(deadline))
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            if response.status != http.client.OK:
                return None
            page = bytearray()
            while len(page) < PAGE_BYTES_MAX:
                socket.settimeout(_left(deadline))
                piece = response.read1(PAGE_BYTES_READ)
                if not piece:
                    break
                page += piece
            text = page.decode(errors="replace")
            return _Page(address, False, text) if _OURS in text else None
        except TimeoutError:
            return _Page(address, True, "")
    return None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
