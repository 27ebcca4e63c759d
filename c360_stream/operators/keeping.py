"""Keeping state: snapshots as bytes, measured; none at all where there is no recovery store to keep them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from c360_stream import metrics
from c360_stream.snapshot import pack, unpack


@dataclass(frozen=True)
class Keeping:
    """How steps turn their state into snapshots.

    Parameters
    ----------
    enabled
        Whether the run has a recovery store. Without one the engine asks for snapshots all the same;
        they are empty then, which costs nothing.
    layout
        The settings that the layout of state depends on: state kept under others cannot be used.
    """

    enabled: bool
    layout: str

    def keep(self, step: str, state: Callable[[], Any]) -> bytes:
        """Pack a step's state."""
        if not self.enabled:
            return b""
        began = time.perf_counter()
        packed = pack(f"{step} ({self.layout})", state())
        metrics.SNAPSHOT_DURATION_SECONDS.labels(step).observe(time.perf_counter() - began)
        metrics.SNAPSHOT_SIZE_BYTES.labels(step).observe(len(packed))
        return packed

    def take_up(self, step: str, packed: bytes) -> Any:
        """Unpack a step's state; raises `StateError` if it cannot be used."""
        return unpack(f"{step} ({self.layout})", packed)
