"""`c360 sort`: writes a log directory anew, every partition in the order of event time."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import heapq
import os
import shlex
import shutil
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from c360_stream.connectors.logdir import LogDirTransport, named_errors
from c360_stream.contracts.events import EVENT_BYTES_MAX, Decoder
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import ConfigurationError, StateError
from c360_stream.settings import Settings
from c360_stream.state.private_files import DIRECTORY_MODE, make_private_directory, open_private

MARKER = ".c360-sort"
"""In the output directory while it is incomplete: holds the name of the directory that is being sorted."""
WORK = ".c360-sort.work"
FAN_IN = 64
"""Runs that are merged at a time: each has a file open, a buffer and a line of up to 1 MiB in memory."""
_LINES_AT_ONCE, _BYTES_AT_ONCE = 2048, 4 * 1024 * 1024
_COPY_BYTES = 1024 * 1024
# Memory of a line beside its characters: the bytes object, its pair, the time, its slot in the list.
_LINE_OVERHEAD_BYTES = 140
_FIRST = -(2**62)
_HEAD = struct.Struct("<qqq")
_INLINE = -1
_PROGRESS_LINES = 10


@dataclass(frozen=True, slots=True)
class _Aside:
    """A line that is no event because of its length: it waits in a file and not in memory."""

    offset: int
    length: int


Line = bytes | _Aside
Keyed = tuple[int, Line]


@dataclass
class SortCounts:
    """Counts of what was written."""

    partitions: int = 0
    lines: int = 0
    undecoded: int = 0


def sort_log(settings: Settings, out: Path, memory_bytes: int) -> None:
    """Sort every input partition of a log directory into another one, with progress on stderr, a summary on stdout.

    Events of equal times keep their order; a line that is no event stays behind the line before it. No file has its
    name before it is complete: after a kill or a full disk, the same call does everything again.

    Parameters
    ----------
    settings
        Name the log directory and its input topics.
    out
        Made if it is absent; else empty, or left behind by an incomplete call for the same log directory.
    memory_bytes
        About how many bytes of lines are held; more are sorted in pieces on the disk, below `out`.

    Raises
    ------
    ConfigurationError
        If there is no input partition, or `out` cannot be used.
    StateError
        If another call is at work in `out`.
    TransportError
        If a file could not be read or written.
    """
    source = LogDirTransport(settings.log_dir)
    found = [(kind, settings.input_topic(kind)) for kind in INPUT_KINDS]
    files = [(kind, path) for kind, topic in found for _, path in sorted(source.files(topic).items())]
    if not files:
        raise ConfigurationError(
            f"no input partition in {settings.log_dir}", "name a log directory; check C360_TOPIC_PREFIX"
        )
    counts = SortCounts()
    with _claimed(settings.log_dir, out) as work, _progress(files) as progress:
        for kind, path in files:
            folder = out / path.parent.name
            with named_errors(folder):
                make_private_directory(folder)
            partition = _Partition(kind, path, work, memory_bytes=memory_bytes, counts=counts, progress=progress)
            partition.sort_into(folder / path.name)
            counts.partitions += 1
    undecoded = f", {counts.undecoded:,} of them no events, each behind the line before it" if counts.undecoded else ""
    click.echo(
        f"{counts.lines:,} lines of {counts.partitions} partitions{undecoded}, in the order of time in {out};"
        f" run them: c360 run --log-dir {shlex.quote(str(out))} --until-end"
    )


@contextlib.contextmanager
def _claimed(log_dir: Path, out: Path) -> Iterator[Path]:
    """Make the output directory ours; yields a folder for temporary files."""
    if out.resolve() == log_dir.resolve():
        raise ConfigurationError(f"--out {out} is the log directory itself", "name an empty directory")
    with named_errors(out):
        out.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        foreign = [path.name for path in out.iterdir() if path.name not in (MARKER, WORK)]
        if foreign and not (out / MARKER).exists():
            raise ConfigurationError(f"--out {out} is not empty", "name an empty directory")
        marker = (out / MARKER).open("a+")
    with marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"another c360 sort is at work in {out}", "wait for it, or name another --out") from None
        marker.seek(0)
        begun, now = marker.read(), str(log_dir.resolve())
        if begun not in ("", now):
            raise ConfigurationError(f"--out {out} has some of {begun}, sorted", "name an empty directory")
        work = out / WORK
        shutil.rmtree(work, ignore_errors=True)
        try:
            with named_errors(out):
                if not begun:
                    marker.write(now)
                    marker.flush()
                make_private_directory(work)
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
        (out / MARKER).unlink(missing_ok=True)
        _sync_folder(out)


class _Partition:
    """Sorts the lines of one file: in memory if they fit, else by sorted runs that are merged.

    Parameters
    ----------
    kind
        Its topic.
    path
        The file, plain or gzipped.
    work
        An empty folder.
    memory_bytes
        About how much to hold.
    counts
        What to add to.
    progress
        Called with the bytes of the file that have been read since the last call.
    """

    def __init__(
        self,
        kind: InputKind,
        path: Path,
        work: Path,
        *,
        memory_bytes: int,
        counts: SortCounts,
        progress: Callable[[int], None],
    ) -> None:
        self._decoder = Decoder(kind)
        self._path = path
        self._work = work
        self._memory_bytes = memory_bytes
        self._counts = counts
        self._progress = progress
        self._runs_made = 0
        self._aside = work / "aside"

    def sort_into(self, target: Path) -> None:
        """Write the sorted file, under its name once it is complete and on the disk."""
        incomplete = target.with_name(f".{target.name}.incomplete")
        with contextlib.ExitStack() as held:
            held.callback(incomplete.unlink, missing_ok=True)
            held.enter_context(named_errors(target))
            aside = held.enter_context(self._aside.open("w+b"))
            with open_private(incomplete, "wb") as raw:
                with _compressed(cast(BinaryIO, raw), target.suffix == ".gz") as file:
                    for _, line in self._sorted(aside):
                        _write_line(file, line, aside)
                raw.flush()
                os.fsync(raw.fileno())
            incomplete.rename(target)
            _sync_folder(target.parent)

    def _sorted(self, aside: BinaryIO) -> Iterator[Keyed]:
        """All lines in order."""
        runs: list[Path] = []
        held: list[Keyed] = []
        size = 0
        with named_errors(self._path):
            for keyed in self._keyed(aside):
                held.append(keyed)
                size += _LINE_OVERHEAD_BYTES + (len(keyed[1]) if isinstance(keyed[1], bytes) else 0)
                if size >= self._memory_bytes:
                    held.sort(key=itemgetter(0))
                    runs.append(self._write_run(held))
                    held, size = [], 0
        held.sort(key=itemgetter(0))
        if not runs:
            yield from held
            return
        if held:
            runs.append(self._write_run(held))
            del held
        while len(runs) > FAN_IN:  # of neighbours, so that equal times keep their order
            runs = [self._merged(runs[first : first + FAN_IN]) for first in range(0, len(runs), FAN_IN)]
        yield from self._merge(runs)
        for run in runs:
            run.unlink()

    def _merged(self, runs: list[Path]) -> Path:
        merged = self._write_run(self._merge(runs))
        for run in runs:
            run.unlink()
        return merged

    def _merge(self, runs: list[Path]) -> Iterator[Keyed]:
        buffer_bytes = max(64 * 1024, min(_COPY_BYTES, self._memory_bytes // FAN_IN))
        return heapq.merge(*(_read_run(run, buffer_bytes) for run in runs), key=itemgetter(0))

    def _write_run(self, lines: Iterable[Keyed]) -> Path:
        path = self._work / f"run-{self._runs_made}"
        self._runs_made += 1
        with named_errors(path), path.open("wb", buffering=_COPY_BYTES) as file:
            for key, line in lines:
                if isinstance(line, bytes):
                    file.write(_HEAD.pack(key, _INLINE, len(line)))
                    file.write(line)
                else:
                    file.write(_HEAD.pack(key, line.offset, line.length))
        return path

    def _keyed(self, aside: BinaryIO) -> Iterator[Keyed]:
        """Each line with its time; one that is no event has that of the line before it."""
        key = _FIRST
        for lines in self._lines(aside):
            keys: list[int | None] = [None] * len(lines)
            for block in self._decoder.decode_blocks([line if isinstance(line, bytes) else b"" for line in lines]):
                for position, us in zip(block.positions, block.time_us.tolist(), strict=True):
                    keys[position] = us
            self._counts.lines += len(lines)
            self._counts.undecoded += keys.count(None)
            for line, us in zip(lines, keys, strict=True):
                key = key if us is None else us
                yield key, line

    def _lines(self, aside: BinaryIO) -> Iterator[list[Line]]:
        """The lines as a run takes them, ended by newlines alone, some at a time."""
        read_before = 0
        lines: list[Line] = []
        size = 0
        with self._path.open("rb") as raw:
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self._path.suffix == ".gz" else raw
            while text := file.readline(EVENT_BYTES_MAX + 1):
                if text.endswith(b"\n"):
                    lines.append(text[:-1])
                elif len(text) <= EVENT_BYTES_MAX:  # the last one
                    lines.append(text)
                else:
                    lines.append(_put_aside(text, file, aside))
                size += len(text)
                if len(lines) >= _LINES_AT_ONCE or size >= _BYTES_AT_ONCE:
                    yield lines
                    lines, size = [], 0
                    self._progress(raw.tell() - read_before)
                    read_before = raw.tell()
            yield lines
            self._progress(raw.tell() - read_before)


def _put_aside(text: bytes, file: BinaryIO, aside: BinaryIO) -> _Aside:
    """Copy a line whose beginning was read, to its end."""
    offset, length = aside.seek(0, os.SEEK_END), 0
    while text:
        ended = text.endswith(b"\n")
        length += aside.write(text[:-1] if ended else text)
        text = b"" if ended else file.readline(_COPY_BYTES)
    return _Aside(offset, length)


def _write_line(file: BinaryIO, line: Line, aside: BinaryIO) -> None:
    if isinstance(line, bytes):
        file.write(line)
    else:
        aside.seek(line.offset)
        left = line.length
        while left:
            text = aside.read(min(left, _COPY_BYTES))
            file.write(text)
            left -= len(text)
    file.write(b"\n")


def _read_run(path: Path, buffer_bytes: int) -> Iterator[Keyed]:
    with path.open("rb", buffering=buffer_bytes) as file:
        while head := file.read(_HEAD.size):
            key, offset, length = _HEAD.unpack(head)
            yield key, file.read(length) if offset == _INLINE else _Aside(offset, length)


@contextlib.contextmanager
def _compressed(raw: BinaryIO, gzipped: bool) -> Iterator[BinaryIO]:
    if not gzipped:
        yield raw
        return
    # Without name and time of the file: the same lines give the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as file:
        yield cast(BinaryIO, file)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    with named_errors(folder):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextlib.contextmanager
def _progress(files: list[tuple[InputKind, Path]]) -> Iterator[Callable[[int], None]]:
    """Progress on stderr, a bar on a terminal, else lines; yields a callback that takes the bytes read."""
    total = max(1, sum(path.stat().st_size for _, path in files))
    if sys.stderr.isatty():
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn("sorting"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("sorting", total=total)
            yield lambda read: bar.advance(task, read)
        return
    done = 0

    def report(read: int) -> None:
        nonlocal done
        before, done = done, done + read
        if done * _PROGRESS_LINES // total > before * _PROGRESS_LINES // total:
            click.echo(f"sorting: {done / total:.0%} of {total / 1e6:,.1f} MB read", err=True)

    yield report
