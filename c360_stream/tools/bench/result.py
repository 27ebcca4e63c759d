"""The result of a benchmark, and the clocks that measure it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from c360_stream.tools.machine import machine


@dataclass(frozen=True, slots=True)
class Result:
    """One figure and the floor it stands on: the same machine, in the same minute, doing the least there is to do.

    A shared machine is never twice as fast as before: compare `ratio_to_floor`, not `value`.

    Parameters
    ----------
    name, unit, value
        What was measured.
    floor, floor_is
        The least work that any way of doing it would have, in the same unit, and what that is.
    parameters
        What it was measured with; the same parameters give the same input.
    detail
        Parts of the figure, in seconds.
    """

    name: str
    unit: str
    value: float
    floor: float
    floor_is: str
    parameters: dict[str, Any]
    detail: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The result on one line, with the machine."""
        return msgspec.json.encode(
            {
                "name": self.name,
                "unit": self.unit,
                "value": _four_digits(self.value),
                "floor": _four_digits(self.floor),
                "ratio_to_floor": _four_digits(self.value / self.floor),
                "floor_is": self.floor_is,
                "detail": {name: _four_digits(value) for name, value in self.detail.items()},
                "parameters": self.parameters,
                "machine": {**machine(), "load_1m": round(os.getloadavg()[0], 2)},
            }
        ).decode()


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Timed(Generic[Given]):
    """What some work gave, and its seconds: on the wall, and of CPU time, which others' load hardly lengthens."""

    given: Given
    wall: float
    cpu: float


def timed(work: Callable[..., Given], *arguments: object) -> Timed[Given]:
    """Do it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    given = work(*arguments)
    return Timed(given, time.perf_counter() - wall, time.process_time() - cpu)


def least_cpu_seconds(repeats: int, work: Callable[..., object], *arguments: object) -> float:
    """CPU seconds of the quickest of some repeats: the one that the rest of the machine disturbed least."""
    return min(timed(work, *arguments).cpu for _ in range(repeats))
