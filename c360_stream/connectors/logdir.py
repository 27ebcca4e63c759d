"""Log directory: the transport that needs no server. `<topic>/<partition>.jsonl`, one record per line."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from c360_stream.connectors.ports import (
    TRUNCATED,
    VALUE_BYTES_MAX,
    Headers,
    OnDelivered,
    OutRecord,
    RawBatch,
    Waiting,
    wait_patiently,
)
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.state.private_files import make_private_directory, open_private

# Lines of a block are decoded while it is in the processor's cache: at 1 MiB reading costs 0.26 us a line, not 0.15.
BLOCK_BYTES = 256 * 1024
BLOCKS_PER_READ_MAX = 32
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_LOG_FILE = re.compile(r"[^.].*\.jsonl(\.gz)?")
_NUMBER = re.compile(r"[0-9]{1,9}")
_RESTORE = "restore it, or start with an empty recovery directory and --republish"


class LogDirTransport:
    """Topics are the folders of a directory; a partition is a file of lines, plain or gzipped.

    Parameters
    ----------
    root
        The directory. It must exist for reading; writing creates it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def partitions(self, topic: str) -> list[int]:
        """The topic's partition numbers, ascending; empty if it has no folder."""
        return sorted(self.files(topic))

    def files(self, topic: str) -> dict[int, Path]:
        """The file of each of the topic's partitions, in no particular order; empty if it has no folder."""
        folder = self._folder(topic)
        with named_errors(folder):
            if not self.root.is_dir():
                wrong = "is no directory" if self.root.exists() else "does not exist"
                raise ConfigurationError(
                    f"log directory {self.root} {wrong}", "set C360_LOG_DIR, or fill it: c360 simulate"
                )
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            logs = [path for path in paths if _LOG_FILE.fullmatch(path.name) and path.is_file()]
        found: dict[int, Path] = {}
        for path in logs:
            number = path.name.partition(".")[0]
            if path.name not in (f"{number}.jsonl", f"{number}.jsonl.gz") or not _NUMBER.fullmatch(number):
                raise ConfigurationError(f"{path} is no partition", "name it <number>.jsonl(.gz) or move it away")
            other = found.setdefault(int(number), path)
            if other != path:
                raise ConfigurationError(f"{other} and {path} are the same partition", "remove one of them")
        return found

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> LogDirReader:
        """Open a partition's file. Its position is (byte offset, line number)."""
        path = self.files(topic).get(partition)
        if path is None:
            raise TransportError(f"{self.root / topic / str(partition)}.jsonl does not exist", _RESTORE)
        return LogDirReader(path, topic, partition, resume or (0, 0), live=live)

    def writer(self, topic: str, resume: tuple[int, ...] | None) -> LogDirWriter:
        """Open `<topic>/0.jsonl` for appending. Its position is (bytes,)."""
        return LogDirWriter(self._folder(topic) / "0.jsonl", topic, resume)

    def outbox(self, part: str, waiting: Waiting = wait_patiently) -> None:
        """None: a writer is cut back to its position, which repeats nothing."""

    def close(self) -> None:
        """Nothing is held."""

    def _folder(self, topic: str) -> Path:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise ConfigurationError(f"topic name {topic!r}", "use 1 to 249 letters, digits, dots, _ and -")
        return self.root / topic


class SnapshotMark:
    """Which snapshot of which recovery store holds all that is in a log directory's output topics, noted beside them.

    An older copy of a recovery directory would silently cut the topics back to its own positions.

    Parameters
    ----------
    root
        The log directory.
    prefix
        Of the topics.
    """

    def __init__(self, root: Path, prefix: str) -> None:
        self._path = root / f".{prefix}.snapshot.json"

    def read(self) -> tuple[str, int] | None:
        """Store and number; None before the first one."""
        if not self._path.exists():
            return None
        with named_errors(self._path):
            text = self._path.read_bytes()
        try:
            noted = json.loads(text)
            return str(noted["store"]), int(noted["snapshot"])
        except (ValueError, KeyError, TypeError):
            hint = "remove it, if the recovery directory is the newest there is"
            raise TransportError(f"{self._path} is damaged", hint) from None

    def write(self, store: str, snapshot: int) -> None:
        """Note, at once or not at all."""
        written = self._path.with_suffix(".new")
        with named_errors(self._path):
            with open_private(written, "w") as file:
                file.write(json.dumps({"store": store, "snapshot": snapshot}))
            written.replace(self._path)


class LogDirReader:
    """Reads the lines of one file, ended by newlines alone; carriage returns and blank lines are kept.

    Live, an incomplete last line waits for its newline. Otherwise, and in a gzipped file, which nobody
    appends to, it counts as a line. The position counts uncompressed bytes.
    """

    def __init__(self, path: Path, topic: str, partition: int, resume: tuple[int, ...], *, live: bool) -> None:
        self.topic = topic
        self.partition = partition
        self._path = path
        self._offset, self._line = resume  # of the first record not returned yet
        self._read_bytes = self._offset  # how far the file was read
        self._lines: list[bytes] = []  # read; those before _next have been returned
        self._next = 0
        self._head = b""  # of the line that has no newline yet: at most VALUE_BYTES_MAX of its bytes
        self._head_bytes = 0  # its length so far
        self._cut_bytes: dict[int, int] = {}  # line number -> bytes cut off
        self._unended = False  # the last line was taken without a newline
        self._at_end = False
        self._gzipped = path.suffix == ".gz"
        self._last_line_waits = live and not self._gzipped
        with named_errors(path):
            self._raw = path.open("rb", buffering=0)
            self._inode = os.fstat(self._raw.fileno()).st_ino
            self._file = cast(BinaryIO, gzip.GzipFile(fileobj=self._raw) if self._gzipped else self._raw)
            reached = self._file.seek(self._offset)  # gzip stops at its end, a plain file does not
            self._refuse_if_shorter(reached if self._gzipped else self._size())

    def read(self, records_max: int) -> RawBatch:
        """Up to `records_max` lines, and no more than a few blocks of them."""
        ended = False
        blocks = 0
        with named_errors(self._path):
            while not ended and blocks < BLOCKS_PER_READ_MAX and self._waiting() < records_max:
                ended = not self._fill()
                blocks += 1
        values = self._lines[self._next : self._next + records_max]
        self._next += len(values)
        self._at_end = ended and not self._waiting()
        return self._returned(values)

    @property
    def at_end(self) -> bool:
        """Whether the last `read` reached the end of the file."""
        return self._at_end

    def position(self) -> tuple[int, ...]:
        """(byte offset, line number) of the next line."""
        return self._offset, self._line

    def lag(self) -> int:
        """Bytes to the end of the file; of compressed bytes, where the file is gzipped."""
        if not self._gzipped:
            return max(0, self._size() - self._offset)
        return 0 if self._at_end else max(1, self._size() - self._raw.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def _waiting(self) -> int:
        return len(self._lines) - self._next

    def _fill(self) -> bool:
        """Read one block and split it; false at the end of the file."""
        block = self._file.read(BLOCK_BYTES)
        self._read_bytes += len(block)
        newline = block.find(b"\n")
        if not block:
            self._refuse_if_gone()
            if self._head_bytes and not self._last_line_waits:
                self._unended = True
                self._end_line(b"")
        elif newline < 0:
            self._head += block[: VALUE_BYTES_MAX - len(self._head)]
            self._head_bytes += len(block)
        elif self._head_bytes + newline > VALUE_BYTES_MAX:
            self._end_line(block[:newline])
            self._split(block[newline + 1 :])
        else:
            self._split(self._head + block)
        return bool(block)

    def _split(self, block: bytes) -> None:
        lines = block.split(b"\n")
        self._head = lines.pop()
        self._head_bytes = len(self._head)
        self._lines = self._lines[self._next :] + lines
        self._next = 0

    def _end_line(self, rest: bytes) -> None:
        """Take the head and its rest as a line, cut to the longest that is allowed."""
        over = self._head_bytes + len(rest) - VALUE_BYTES_MAX
        if over > 0:
            self._cut_bytes[self._line + self._waiting()] = over
        self._lines.append((self._head + rest)[:VALUE_BYTES_MAX])
        self._head, self._head_bytes = b"", 0

    def _returned(self, values: list[bytes]) -> RawBatch:
        """Move the position past `values`."""
        lines = range(self._line, self._line + len(values))
        headers: list[Headers | None] | None = None
        if self._cut_bytes:
            cut = {line: self._cut_bytes.pop(line) for line in lines if line in self._cut_bytes}
            self._offset += sum(cut.values())
            headers = [[TRUNCATED] if line in cut else None for line in lines] if cut else None
        self._offset += sum(map(len, values)) + len(values)
        self._line = lines.stop
        if self._unended and not self._waiting():
            self._offset -= 1
            self._unended = False
        return RawBatch(values, lines, headers=headers)

    def _size(self) -> int:
        return os.fstat(self._raw.fileno()).st_size

    def _refuse_if_gone(self) -> None:
        """At the end of the file, see whether it still is the file that the position speaks of."""
        if os.stat(self._path).st_ino != self._inode:
            raise TransportError(f"{self._path} was replaced while it was read", _RESTORE)
        if not self._gzipped:
            self._refuse_if_shorter(self._size())

    def _refuse_if_shorter(self, size: int) -> None:
        if size < self._read_bytes:
            raise TransportError(f"{self._path} has {size} bytes, but was read up to byte {self._read_bytes}", _RESTORE)


class LogDirWriter:
    """Appends one JSON value a line to a file.

    What it writes are scores and customers' own input: folder and file are its user's alone.
    Opened with a position, it cuts the file to it: what was written after the snapshot is about to be written
    again. Opened without one, it cuts an incomplete last line, which is what a crash leaves.
    """

    def __init__(self, path: Path, topic: str, resume: tuple[int, ...] | None) -> None:
        self.topic = topic
        self._path = path
        with named_errors(path):
            make_private_directory(path.parent, "topic folder")
            self._file = open_private(path, "ab", buffering=0)
            self._lock()
            size = os.fstat(self._file.fileno()).st_size
            self._bytes = resume[0] if resume else _whole_lines_bytes(path)
            if self._bytes > size:
                raise TransportError(f"{path} has {size} bytes, but {self._bytes} were written to it", _RESTORE)
            self._file.truncate(self._bytes)
        self._undelivered: list[tuple[OutRecord, OnDelivered]] = []

    def _lock(self) -> None:
        """Keep other runs from this file: the lines of two would mix, and each would cut off the other's."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise TransportError(
                f"{self._path} is being written by another run", "let one run at a time write to a log directory"
            ) from None

    def write(self, records: Sequence[OutRecord], on_delivered: OnDelivered | None = None) -> None:
        """Append records, all or none; they are in the system's cache when this returns.

        Raises
        ------
        ValueError
            If a value holds a newline.
        TransportError
            If the file cannot be written, for example because the disk is full.
        """
        values = [_tombstone(record) if record.value is None else record.value for record in records]
        text = b"\n".join([*values, b""])
        if text.count(b"\n") != len(values):
            key = next(record.key for record, value in zip(records, values, strict=True) if b"\n" in value)
            raise ValueError(f"the value of {key!r} holds a newline: a record is one line of JSON")
        lines = memoryview(text)
        written = 0
        try:
            while written < len(lines):
                written += self._file.write(lines[written:])
        except OSError as error:
            with suppress(OSError):  # a resumed run cuts it too
                self._file.truncate(self._bytes)
            raise _named(self._path, error) from error
        self._bytes += written
        if on_delivered is not None:
            self._undelivered += [(record, on_delivered) for record in records]

    def flush(self) -> None:
        """Return once everything written is on the disk."""
        with named_errors(self._path):
            os.fsync(self._file.fileno())
        for record, on_delivered in self._undelivered:
            on_delivered(record)
        self._undelivered = []

    def position(self) -> tuple[int, ...]:
        """(bytes written,)."""
        return (self._bytes,)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _tombstone(record: OutRecord) -> bytes:
    key = record.key.decode(errors="replace") if isinstance(record.key, bytes) else record.key
    return json.dumps({"account_id": key, "tombstone": True}).encode()


def _whole_lines_bytes(path: Path) -> int:
    """Length of a file up to its last newline."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK_BYTES)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Raise an error of the system or of gzip as a TransportError that names the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise _named(path, error) from error


def _named(path: Path, error: Exception) -> TransportError:
    if isinstance(error, OSError) and error.strerror:
        return TransportError(f"{path}: {error.strerror}", "fix the disk, the path or its permissions")
    return TransportError(f"{path}: damaged gzip file: {error}", "restore it, or write it again whole")
