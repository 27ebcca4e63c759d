"""Simulated worlds in memory, for the tests of this folder."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from c360_stream.tools.simulate import SimulationSpec, SimulationSummary, simulate

SMALL = SimulationSpec(accounts=60, days=120, seed=11)
Event = dict[str, Any]


@dataclass
class MemorySink:
    """Keeps every line, and how many each write carried."""

    lines: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    closed: bool = False

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        self.lines.setdefault((topic_kind, partition), []).extend(lines)
        self.writes.append(len(lines))

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class World:
    """A whole simulation."""

    sink: MemorySink
    truth: str
    summary: SimulationSummary

    def raw(self, kind: str) -> list[bytes]:
        """Every line of a kind, partition by partition."""
        return [line for (name, _), lines in sorted(self.sink.lines.items()) if name == kind for line in lines]

    def events(self, kind: str) -> list[Event]:
        """Every event of a kind in the order (occurred_at, event_id)."""
        events: list[Event] = [json.loads(line) for line in self.raw(kind)]
        return sorted(events, key=lambda event: (event["occurred_at"], event["event_id"]))

    def truth_rows(self) -> list[Event]:
        """Every line of truth."""
        return [json.loads(line) for line in self.truth.splitlines()]


def live(spec: SimulationSpec) -> World:
    """Simulate a specification."""
    sink, truth = MemorySink(), io.StringIO()
    summary = simulate(spec, sink, truth)
    return World(sink, truth.getvalue(), summary)


@lru_cache(maxsize=8)
def world(scenario: str = "steady") -> World:
    """A small world of a scenario, simulated once a test run. Not to be changed."""
    return live(replace(SMALL, scenario=scenario))


def partition_of(account_id: str, partitions: int) -> int:
    """The documented partition of an account."""
    return zlib.crc32(account_id.encode()) % partitions
