"""Keeping state: snapshots as bytes, measured; none at all where there is no recovery store to keep them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c360_stream import metrics
from c360_stream.logs.summaries import SnapshotSummary
from c360_stream.state.chunk_store import ChunkStore
from c360_stream.state.codec import pack, pack_small, unpack
from c360_stream.state.fields import Kept
from c360_stream.state.layout import Layout, digest

INLINE_BYTES_MAX = 256 * 1024
"""State with more of arrays and pages goes into files beside the engine's store, which writes whole values anew."""


@dataclass(frozen=True)
class StateBackend:
    """How steps turn their state into snapshots.

    Parameters
    ----------
    enabled
        Whether the run has a recovery store. Without one the engine asks for snapshots all the same;
        they are empty then, which costs nothing.
    layout
        Of what all state depends on, settings among it: state kept under another one cannot be used.
    recovery
        The recovery directory, where large state has files of its own. None: all of it is in the bytes.
    snapshots
        Sums them up for the log.
    """

    enabled: bool
    layout: Layout
    recovery: Path | None = None
    snapshots: SnapshotSummary = field(default_factory=SnapshotSummary)

    def of(self, step: str, root: type[Kept]) -> StateHandle:
        """The handle of the state of one key of a step, an object of the class `root`."""
        return StateHandle(self, step, root)


class StateHandle:
    """Keeps the state of one key of a step.

    Parameters
    ----------
    backend
        Where state is kept.
    step
        Name of the step.
    root
        What has the state.
    """

    def __init__(self, backend: StateBackend, step: str, root: type[Kept]) -> None:
        self._backend = backend
        self._step = step
        self._layout = digest((*backend.layout, *root.layout()))
        self._store: ChunkStore | None = None

    def keep(self, key: str, state: Callable[[], object]) -> bytes:
        """Pack the state of `key`, which is the same at every call.

        Raises
        ------
        StateError
            If it cannot be written.
        """
        if not self._backend.enabled:
            return b""
        began = time.perf_counter()
        packed, size = self._pack(key, state())
        seconds = time.perf_counter() - began
        self._backend.snapshots.kept(size, seconds)
        metrics.SNAPSHOT_DURATION_SECONDS.labels(self._step).observe(seconds)
        metrics.SNAPSHOT_SIZE_BYTES.labels(self._step).observe(size)
        metrics.SNAPSHOT_TIMESTAMP_SECONDS.labels(self._step).set_to_current_time()
        return packed

    def _pack(self, key: str, state: object) -> tuple[bytes, int]:
        """The bytes, and how many that and the files were that had to be written."""
        recovery = self._backend.recovery
        if recovery is None:
            packed = pack(self._step, state, layout=self._layout)
            return packed, len(packed)
        if self._store is None:
            small = pack_small(self._step, state, INLINE_BYTES_MAX, layout=self._layout)
            if small is not None:
                return small, len(small)
            self._store = ChunkStore(recovery, f"{self._step}-{key}")
        store = self._store
        store.begin()
        try:
            packed = pack(self._step, state, store, layout=self._layout)
            store.commit()
        except BaseException:
            store.abort()
            raise
        return packed, len(packed) + store.written_bytes

    @property
    def written_bytes(self) -> int:
        """What the last snapshot wrote into files."""
        return self._store.written_bytes if self._store else 0

    def load(self, packed: bytes) -> Any:
        """Unpack the state; raises `StateError` if it cannot be used."""
        recovery = self._backend.recovery
        if recovery is None:
            return unpack(self._step, packed, layout=self._layout)

        def find(name: str) -> ChunkStore:
            self._store = ChunkStore(recovery, name)
            return self._store

        state = unpack(self._step, packed, find, layout=self._layout)
        if self._store is not None:
            self._store.loaded()
        return state
