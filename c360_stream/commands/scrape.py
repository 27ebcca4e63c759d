"""Lag and counts of the running processes, from their `/metrics` pages."""

from __future__ import annotations

import contextlib
import http.client
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

PROCESSES_MAX = 64
PAGE_BYTES_MAX = 4 * 1024 * 1024
SECONDS_MAX = 0.5


@dataclass(frozen=True)
class Lag:
    """How far the flow is; sums over its processes, the earliest watermark of them."""

    processes: int
    watermark_seconds: float | None
    behind: str
    dead_letters: int
    late_events: int

    def __str__(self) -> str:
        """One line for a board."""
        watermark = "not set"
        if self.watermark_seconds is not None:
            watermark = f"{datetime.fromtimestamp(self.watermark_seconds, UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"{self.processes} process(es) · watermark {watermark} · behind {self.behind}"
            f" · {self.dead_letters:,} dead letters · {self.late_events:,} late events"
        )


def scrape(address: str) -> Lag | None:
    """Read the metrics of the processes at an address and the ports after it, until one does not answer.

    Returns None if none answers. An address with port 0 cannot be found.
    """
    totals: dict[str, float] = defaultdict(float)
    watermarks = []
    processes = 0
    for page in _pages(address):
        processes += 1
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                totals[sample.name] += sample.value
                if sample.name == "c360_watermark_timestamp_seconds" and sample.value == sample.value:
                    watermarks.append(sample.value)
    if not processes:
        return None
    records, size_bytes = totals["c360_consumer_lag_records"], totals["c360_consumer_lag_bytes"]
    return Lag(
        processes=processes,
        watermark_seconds=min(watermarks, default=None),
        behind=f"{records:,.0f} records" if records else f"{size_bytes / 1e6:,.1f} MB",
        dead_letters=int(totals["c360_dead_letters_total"]),
        late_events=int(totals["c360_late_events_total"]),
    )


def partitions_read(address: str) -> dict[str, int]:
    """How many partitions of each input topic the running processes read; empty if none answers."""
    families = (family for page in _pages(address) for family in text_string_to_metric_families(page))
    samples = (sample for family in families for sample in family.samples)
    return {each.labels["topic"]: int(each.value) for each in samples if each.name == "c360_input_partitions"}


def _pages(address: str) -> Iterator[str]:
    """The metrics of the processes at an address and the ports after it, until one does not answer."""
    host, _, port = address.rpartition(":")
    for process in range(PROCESSES_MAX if int(port) else 0):
        page = _page(host.strip("[]"), int(port) + process)
        if not page:
            return
        yield page


def _page(host: str, port: int) -> str:
    """The metrics page; empty if nobody answers with one."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        if response.status == http.client.OK:
            return response.read(PAGE_BYTES_MAX).decode(errors="replace")
    return ""
