"""What is wrong with real data: events that come late, come twice, or break the contract.

Shares are of the lines of a topic. A late event is one whose time is behind those around it: one in five of them by
more than the allowed lateness. A duplicate is a line once more, with its id, within the hour that follows it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LATE_SHARE = 0.05
BEYOND_LATENESS_SHARE = 0.2
"""Of the late ones."""
LATENESS_MS = 3_600_000
LATE_MS_MAX = 6 * LATENESS_MS
DUPLICATE_SHARE = 0.02
REFUSED_SHARE = 0.01

_WAYS: tuple[Callable[[bytes], bytes], ...] = (
    lambda line: line[:-20],  # cut off
    lambda line: line.replace(b'"account_id":', b'"account":', 1),
    lambda line: line.replace(b'Z",', b'",', 1),  # a time without an offset
    lambda line: line.replace(b'"event_type":"', b'"event_type":"No ', 1),
    lambda line: line.replace(b'"event_id":"', b'"event_id":1,"id":"', 1),  # a number where a string is due
)


def set_back(rng: np.random.Generator, at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Event times of lines that arrive at `at_ms`, ascending, int64 of shape (lines,): some are late."""
    late = rng.random(len(at_ms)) < LATE_SHARE
    beyond = rng.random(len(at_ms)) < BEYOND_LATENESS_SHARE
    delay = np.where(
        beyond,
        rng.integers(LATENESS_MS + 1, LATE_MS_MAX, len(at_ms)),
        rng.integers(1_000, LATENESS_MS, len(at_ms)),
    )
    return np.maximum(np.where(late, at_ms - delay, at_ms), at_ms[0] if len(at_ms) else 0)


def repeats(rng: np.random.Generator, at_ms: NDArray[np.int64]) -> dict[int, int]:
    """Positions of duplicates, ascending, and the position of the line that each repeats: within an hour before it."""
    found = np.flatnonzero(rng.random(len(at_ms)) < DUPLICATE_SHARE)
    first = np.searchsorted(at_ms, at_ms[found] - LATENESS_MS)
    there = first < found
    found, first = found[there], first[there]
    return dict(zip(found.tolist(), rng.integers(first, found).tolist(), strict=True))


def refused(rng: np.random.Generator, lines: int) -> NDArray[np.intp]:
    """Positions of the lines to spoil."""
    return np.flatnonzero(rng.random(lines) < REFUSED_SHARE)


def spoilt(line: bytes, way: int) -> bytes:
    """A line that breaks the contract, in one of several ways.

    >>> spoilt(b'{"event_id":"p-1","account_id":"a","occurred_at":"2025-03-01T00:00:00Z"}', 1)
    b'{"event_id":"p-1","account":"a","occurred_at":"2025-03-01T00:00:00Z"}'
    """
    return _WAYS[way % len(_WAYS)](line)
