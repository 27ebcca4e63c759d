"""Large state in files: cut into chunks, of which a snapshot writes only those that the one before did not have."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from xxhash import xxh3_128_digest

from c360_stream.errors import StateError

STATE_FOLDER = "state"
CHUNK_BYTES = 256 * 1024
"""A row of daily counts of 65,536 accounts. A quarter of it hashes no faster and takes four times the bookkeeping."""
SEGMENT_BYTES_MAX = 16 * 1024 * 1024
"""The most that is copied at once when little of a file is still in use."""
SNAPSHOTS_KEPT = 3
"""Files stay until none of this many snapshots needs them: the engine resumes from the last or the one before."""
ORPHANS_KEPT = 4
"""Files of this many snapshots that the engine does not know (the run ended before) stay until later ones are kept."""
DISK_FACTOR = 2.0
SEGMENTS_MAX = 64
"""How many files of a key are allowed however small they are."""
RESTORE = "restore the whole directory from a back-up, or name an empty directory, with --republish, to start over"
FULL = ("the disk is full", "free some space and run again: it resumes")
_FILE = re.compile(r"(\d+)-(\d+)\.segment")
_NAME = re.compile(r"[a-z_]+-[A-Za-z0-9_]+")


class SegmentId(NamedTuple):
    """Names a file: the snapshot that wrote it, numbered from 1 per key, and which of its files it is."""

    snapshot: int
    part: int


class ChunkRef(NamedTuple):
    """Where a chunk is, and the xxh3_128 of its bytes."""

    segment: SegmentId
    offset: int
    length: int
    digest: bytes


class ChunkStore:
    """The large content of one key's snapshots.

    A snapshot is `begin`, `put` for each array, and `commit`, which returns when all is on the disk. A chunk that the
    snapshot before had, wherever it was, is not written again. Files are written once, and deleted when none of the
    last `SNAPSHOTS_KEPT` snapshots needs them. What is left in a file that is mostly out of use is written anew
    (compaction). So a key's files are at most about `DISK_FACTOR` times its content, and what the snapshots kept have
    written.

    Memory: about 400 bytes per chunk, and nothing of the content.

    Parameters
    ----------
    recovery
        The recovery directory.
    name
        Of the folder in it: step and key.

    Raises
    ------
    StateError
        From every method: what is wrong with the files, and which.
    """

    def __init__(self, recovery: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise StateError(f"recovery directory {recovery}: {name!r} names no state", RESTORE)
        self.name = name
        self._recovery = recovery
        self._folder = recovery / STATE_FOLDER / name
        self._sizes: dict[SegmentId, int] = {}
        self._scanned = False
        self._previous: dict[bytes, ChunkRef] = {}
        self._current: dict[bytes, ChunkRef] = {}
        self._in_use: deque[set[SegmentId]] = deque(maxlen=SNAPSHOTS_KEPT)
        self._compacting: set[SegmentId] = set()
        self._next = SegmentId(1, 0)
        self._file: int | None = None
        self._offset = 0
        self._reading: dict[SegmentId, int] = {}
        self.written_bytes = 0
        """What the last snapshot wrote."""

    # Loading

    def get(self, refs: Iterable[object], into: memoryview) -> None:
        """Read content to where it belongs, and see that it is what was kept."""
        at = 0
        for plain in refs:
            ref = msgspec.convert(plain, ChunkRef)
            chunk = into[at : at + ref.length]
            at += ref.length
            if self._read(ref, chunk) != ref.length or xxh3_128_digest(chunk) != ref.digest:
                raise self._error(ref.segment, "is damaged")
            self._current[ref.digest] = ref
        if at != len(into):
            raise StateError(f"recovery directory {self._recovery}: {self._name_of()} is incomplete", RESTORE)

    def _read(self, ref: ChunkRef, chunk: memoryview) -> int:
        segment = ref.segment
        try:
            if segment not in self._reading:
                self._reading[segment] = os.open(self._path(segment), os.O_RDONLY)
            done = 0
            while done < len(chunk):
                more = os.preadv(self._reading[segment], [chunk[done:]], ref.offset + done)
                if not more:
                    break
                done += more
            return done
        except FileNotFoundError:
            raise self._error(segment, "is missing") from None
        except OSError as error:
            raise self._failure(error, segment) from None

    def loaded(self) -> None:
        """Everything has been read: the next snapshot goes on from this one."""
        for file in self._reading.values():
            os.close(file)
        self._reading.clear()
        self._adopt()

    # Keeping

    def begin(self) -> None:
        """Begin a snapshot."""
        if not self._scanned:
            self._scan()
        self._current = {}
        self.written_bytes = 0

    def put(self, content: memoryview) -> list[ChunkRef]:
        """Keep content."""
        refs = []
        for first in range(0, len(content), CHUNK_BYTES):
            chunk = content[first : first + CHUNK_BYTES]
            digest = xxh3_128_digest(chunk)
            ref = self._current.get(digest)
            if ref is None:
                ref = self._previous.get(digest)
                if ref is None or ref.segment in self._compacting:
                    ref = self._write(chunk, digest)
                self._current[digest] = ref
            refs.append(ref)
        return refs

    def commit(self) -> None:
        """End the snapshot, once it is on the disk; delete what no snapshot needs any more."""
        try:
            if self._file is not None:
                self._end_file()
            if self.written_bytes:
                _sync_folder(self._folder)
        except OSError as error:
            raise self._failure(error, self._next) from None
        self._adopt()
        self._choose_compaction()
        if len(self._in_use) == SNAPSHOTS_KEPT:
            self._delete(self._sizes.keys() - set().union(*self._in_use))

    def abort(self) -> None:
        """Give up the snapshot: what it has written goes; the next one tries again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        written = {segment for segment in self._sizes if segment.snapshot == self._next.snapshot}
        for segment in {*written, self._next}:
            with suppress(OSError):
                self._path(segment).unlink(missing_ok=True)
            self._sizes.pop(segment, None)
        self._next = SegmentId(self._next.snapshot + 1, 0)

    def _scan(self) -> None:
        """See what files there are, and delete those of runs that ended long before a snapshot of theirs was kept."""
        try:
            if not self._folder.is_dir():
                self._folder.parent.mkdir(mode=0o700, exist_ok=True)
                self._folder.mkdir(mode=0o700)
                _sync_folder(self._folder.parent)
                _sync_folder(self._recovery)
            found = {entry.name: entry.stat().st_size for entry in os.scandir(self._folder)}
        except OSError as error:
            raise self._failure(error) from None
        parsed = ((_FILE.fullmatch(name), size) for name, size in found.items())
        self._sizes = {SegmentId(int(match[1]), int(match[2])): size for match, size in parsed if match}
        self._scanned = True
        # Never a name again: the engine may still know a snapshot of a run that ended before it was complete.
        self._next = SegmentId(max((segment.snapshot for segment in self._sizes), default=0) + 1, 0)
        unneeded = self._sizes.keys() - set().union(*self._in_use)
        kept = sorted({segment.snapshot for segment in unneeded})[-ORPHANS_KEPT:]
        self._delete(segment for segment in unneeded if segment.snapshot not in kept)

    def _write(self, chunk: memoryview, digest: bytes) -> ChunkRef:
        try:
            if self._file is not None and self._offset >= SEGMENT_BYTES_MAX:
                self._end_file()
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self._file, self._offset = os.open(self._path(self._next), flags, 0o600), 0
            done = 0
            while done < len(chunk):
                done += os.write(self._file, chunk[done:])
        except OSError as error:
            raise self._failure(error, self._next) from None
        ref = ChunkRef(self._next, self._offset, len(chunk), digest)
        self._offset += len(chunk)
        self.written_bytes += len(chunk)
        return ref

    def _end_file(self) -> None:
        if self._file is not None:
            os.fdatasync(self._file)
            os.close(self._file)
            self._file = None
            self._sizes[self._next] = self._offset
            self._next = SegmentId(self._next.snapshot, self._next.part + 1)

    def _adopt(self) -> None:
        """The snapshot at hand, kept or loaded, becomes the one to go on from."""
        self._previous = self._current
        self._in_use.append({ref.segment for ref in self._previous.values()})
        self._next = SegmentId(self._next.snapshot + 1, 0)

    def _choose_compaction(self) -> None:
        """Choose files whose content the next snapshot writes anew.

        By how little of them is used, as long as the files take too much: so what is copied on is less than what that
        frees. Then by how little that is, as long as they are too many. In all no more at once than has just been
        written anyhow, or one file's worth.
        """
        used: Counter[SegmentId] = Counter()
        for ref in self._previous.values():
            used[ref.segment] += ref.length
        live, total, count = used.total(), sum(self._sizes[segment] for segment in used), len(used)
        budget = max(self.written_bytes, SEGMENT_BYTES_MAX)
        self._compacting = set()
        for segment in sorted(used, key=lambda each: used[each] / self._sizes[each]):
            if total <= DISK_FACTOR * live or used[segment] > budget:
                break
            self._compacting.add(segment)
            total, count, budget = total - self._sizes[segment] + used[segment], count - 1, budget - used[segment]
        files_max = SEGMENTS_MAX + DISK_FACTOR * live / SEGMENT_BYTES_MAX
        for segment in sorted(used.keys() - self._compacting, key=used.__getitem__):
            if count <= files_max or used[segment] > budget:
                break
            self._compacting.add(segment)
            count, budget = count - 1, budget - used[segment]

    def _delete(self, segments: Iterable[SegmentId]) -> None:
        for segment in list(segments):
            try:
                self._path(segment).unlink(missing_ok=True)
            except OSError as error:
                raise self._failure(error, segment) from None
            del self._sizes[segment]

    # Names and errors

    def _path(self, segment: SegmentId) -> Path:
        return self._folder / f"{segment.snapshot}-{segment.part}.segment"

    def _name_of(self, segment: SegmentId | None = None) -> str:
        return str((self._path(segment) if segment else self._folder).relative_to(self._recovery))

    def _error(self, segment: SegmentId, what: str) -> StateError:
        return StateError(f"recovery directory {self._recovery}: {self._name_of(segment)} {what}", RESTORE)

    def _failure(self, error: OSError, segment: SegmentId | None = None) -> StateError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StateError(f"recovery directory {self._recovery}: {FULL[0]}", FULL[1])
        what = f"{self._name_of(segment)}: {error.strerror or error}"
        return StateError(f"recovery directory {self._recovery}: {what}", "see to it and run again: it resumes")


def _sync_folder(folder: Path) -> None:
    """Names of files are on the disk too, then."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
