"""The log directory's own rules: lines, tails, damage, and what a writer leaves behind."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.connectors import logdir
from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.logdir import LogDirReader, LogDirTransport, LogDirWriter
from c360_stream.connectors.ports import VALUE_BYTES_MAX, OutRecord
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings


def make(root: Path, content: bytes, name: str = "0.jsonl", topic: str = "t") -> Path:
    path = root / topic / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_lines(reader: LogDirReader, records_max: int = 1000) -> list[bytes]:
    values: list[bytes] = []
    while True:
        values += reader.read(records_max).values
        if reader.at_end:
            return values


@given(
    content=st.binary(max_size=60).map(lambda some: some.replace(b"\x00", b"\n").replace(b"\x01", b"\r\n")),
    records_max=st.integers(1, 5),
    block_bytes=st.integers(1, 9),
    value_bytes_max=st.integers(1, 12),
    gzipped=st.booleans(),
)
def test_lines_are_what_stands_between_newlines(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    records_max: int,
    block_bytes: int,
    value_bytes_max: int,
    gzipped: bool,
) -> None:
    lines = content.split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    starts = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines) + 1)]
    starts[-1] = len(content)
    root = tmp_path_factory.mktemp("log")
    make(root, gzip.compress(content) if gzipped else content, "0.jsonl.gz" if gzipped else "0.jsonl")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(logdir, "BLOCK_BYTES", block_bytes)
        small.setattr(logdir, "VALUE_BYTES_MAX", value_bytes_max)
        reader = LogDirTransport(root).reader("t", 0, None, live=False)
        seen = 0
        while True:
            batch = reader.read(records_max)
            wanted = lines[seen : seen + len(batch.values)]
            assert list(batch.values) == [line[:value_bytes_max] for line in wanted]
            cut = [[("c360.truncated", b"true")] if len(line) > value_bytes_max else None for line in wanted]
            assert batch.headers == (cut if any(cut) else None)
            assert list(batch.offsets) == list(range(seen, seen + len(wanted)))
            seen += len(wanted)
            assert reader.position() == (starts[seen], seen)
            resumed = LogDirTransport(root).reader("t", 0, reader.position(), live=False)
            assert read_lines(resumed) == [line[:value_bytes_max] for line in lines[seen:]]
            resumed.close()
            if reader.at_end:
                break
    assert seen == len(lines)
    reader.close()


def test_a_huge_line_is_cut_in_bounded_memory_and_the_next_is_whole(tmp_path: Path) -> None:
    path = make(tmp_path, b'{"first":1}\n')
    with path.open("ab") as file:
        for _ in range(300):
            file.write(b"x" * 1024 * 1024)
        file.write(b'\n{"last":1}\n')
    reading = f"""
import resource, sys
from pathlib import Path
from c360_stream.connectors.logdir import LogDirTransport
reader = LogDirTransport(Path({str(tmp_path)!r})).reader("t", 0, None, live=True)
lengths = []
while not reader.at_end:
    batch = reader.read(100)
    lengths += [(len(value), headers) for value, headers in zip(batch.values, batch.headers or [None] * 9)]
print(lengths, reader.position()[1])
"""
    memory_bytes = 128 * 1024 * 1024
    done = subprocess.run(
        [sys.executable, "-c", reading],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes)),
    )
    cut = (VALUE_BYTES_MAX, [("c360.truncated", b"true")])
    assert done.stdout == f"{[(11, None), cut, (10, None)]} 3\n", done.stderr


def test_an_incomplete_last_line_waits_only_when_tailing(tmp_path: Path) -> None:
    path = make(tmp_path, b"1\n2")
    tailing = LogDirTransport(tmp_path).reader("t", 0, None, live=True)
    assert read_lines(tailing) == [b"1"]
    assert (tailing.position(), tailing.lag()) == ((2, 1), 1)
    assert read_lines(LogDirTransport(tmp_path).reader("t", 0, None, live=False)) == [b"1", b"2"]
    with path.open("ab") as file:
        file.write(b"22\n3\n")
    assert read_lines(tailing) == [b"222", b"3"]


def test_no_more_is_returned_than_asked_for_and_lag_counts_what_waits(tmp_path: Path) -> None:
    make(tmp_path, b"12345\n" * 10)
    reader = LogDirTransport(tmp_path).reader("t", 0, None, live=True)
    assert (len(reader.read(3).values), reader.lag(), reader.at_end) == (3, 42, False)


def test_partitions_are_files_named_by_number(tmp_path: Path) -> None:
    for name in ("10.jsonl", "2.jsonl.gz", "0.jsonl", ".3.jsonl", "notes.txt"):
        make(tmp_path, b"", name)
    (tmp_path / "t" / "7.jsonl").mkdir()
    assert LogDirTransport(tmp_path).partitions("t") == [0, 2, 10]


@pytest.mark.parametrize("names", [("0.jsonl", "0.jsonl.gz"), ("1.jsonl", "01.jsonl")])
def test_two_files_of_one_partition_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    paths = [make(tmp_path, b"", name) for name in names]
    with pytest.raises(ConfigurationError) as error:
        LogDirTransport(tmp_path).partitions("t")
    assert all(str(path) in str(error.value) for path in paths)


@pytest.mark.parametrize("name", ["part-0.jsonl", "0.old.jsonl", "٣.jsonl"])
def test_a_log_file_that_is_no_partition_is_refused_not_skipped(tmp_path: Path, name: str) -> None:
    make(tmp_path, b"", name)
    with pytest.raises(ConfigurationError, match="no partition"):
        LogDirTransport(tmp_path).partitions("t")


@pytest.mark.parametrize("topic", ["", ".", "..", "../t", "/etc", "a/b", "t\n", "t\x00", "ü", "x" * 250])
def test_a_hostile_topic_name_is_refused(tmp_path: Path, topic: str) -> None:
    transport = LogDirTransport(tmp_path)
    for use in (
        lambda: transport.partitions(topic),
        lambda: transport.reader(topic, 0, None, live=True),
        lambda: transport.writer(topic, None),
    ):
        with pytest.raises(ConfigurationError, match="topic name"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_exist_is_a_wrong_setting_for_reading(tmp_path: Path) -> None:
    transport = open_transport(Settings(log_dir=tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="none does not exist"):
        transport.partitions("t")
    writer = transport.writer("t", None)
    writer.write([OutRecord("a", b"1")])
    writer.close()
    assert transport.partitions("t") == [0]


def test_a_file_cut_below_the_position_is_an_error(tmp_path: Path) -> None:
    path = make(tmp_path, b"1\n2\n")
    reader = LogDirTransport(tmp_path).reader("t", 0, None, live=True)
    read_lines(reader)
    path.write_bytes(b"1\n")
    with pytest.raises(TransportError, match=r"0\.jsonl has 2 bytes, but was read up to byte 4"):
        reader.read(10)
    with pytest.raises(TransportError, match=r"0\.jsonl has 2 bytes, but was read up to byte 4"):
        LogDirTransport(tmp_path).reader("t", 0, reader.position(), live=True)


def test_a_file_that_vanished_or_was_replaced_is_an_error(tmp_path: Path) -> None:
    path = make(tmp_path, b"1\n")
    reader = LogDirTransport(tmp_path).reader("t", 0, None, live=True)
    path.unlink()
    with pytest.raises(TransportError, match=r"0\.jsonl: No such file"):
        reader.read(10)
    with pytest.raises(TransportError, match=r"0\.jsonl does not exist"):
        LogDirTransport(tmp_path).reader("t", 0, (0, 0), live=True)
    make(tmp_path, b"1\n2\n", "new")
    os.rename(tmp_path / "t" / "new", path)
    with pytest.raises(TransportError, match="replaced"):
        reader.read(10)


@pytest.mark.parametrize(
    "damage", [lambda some: some[:-9], lambda some: b"no gzip", lambda some: some[:40] + b"?" * 40]
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    make(tmp_path, damage(gzip.compress(os.urandom(3000))), "0.jsonl.gz")
    reader = LogDirTransport(tmp_path).reader("t", 0, None, live=False)
    with pytest.raises(TransportError, match=r"0\.jsonl\.gz: damaged gzip file"):
        read_lines(reader)


def test_a_cut_gzip_file_below_the_position_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, gzip.compress(b"1\n"), "0.jsonl.gz")
    with pytest.raises(TransportError, match=r"0\.jsonl\.gz has 2 bytes"):
        LogDirTransport(tmp_path).reader("t", 0, (4, 2), live=False)


def test_a_second_writer_of_a_topic_is_refused_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    """Their lines would mix, and each would cut off the other's when it resumes."""
    first = LogDirWriter(tmp_path / "t" / "0.jsonl", "t", None)
    first.write([OutRecord("a", b"1"), OutRecord("a", b"2")])
    with pytest.raises(TransportError, match="is being written by another run"):
        LogDirWriter(tmp_path / "t" / "0.jsonl", "t", (2,))
    first.close()
    assert (tmp_path / "t" / "0.jsonl").read_bytes() == b"1\n2\n"
    LogDirWriter(tmp_path / "t" / "0.jsonl", "t", None).close()


def test_a_resumed_writer_cuts_what_came_after_the_snapshot(tmp_path: Path) -> None:
    transport = LogDirTransport(tmp_path)
    writer = transport.writer("t", None)
    writer.write([OutRecord("a", b"1")])
    position = writer.position()
    writer.write([OutRecord("a", b"2")])
    writer.close()
    with (tmp_path / "t" / "0.jsonl").open("ab") as file:
        file.write(b'{"torn')
    resumed = transport.writer("t", position)
    resumed.write([OutRecord("a", b"2")])
    resumed.close()
    assert (tmp_path / "t" / "0.jsonl").read_bytes() == b"1\n2\n"
    (tmp_path / "t" / "0.jsonl").write_bytes(b"")
    with pytest.raises(TransportError, match="has 0 bytes, but 4 were written"):
        transport.writer("t", resumed.position())


@pytest.mark.parametrize(("left", "kept"), [(b"", b""), (b"torn", b""), (b"1\ntorn", b"1\n"), (b"1\n\n", b"1\n\n")])
def test_a_new_writer_appends_to_whole_lines(tmp_path: Path, left: bytes, kept: bytes) -> None:
    path = make(tmp_path, left)
    writer = LogDirTransport(tmp_path).writer("t", None)
    writer.write([OutRecord("a", b"2")])
    writer.close()
    assert path.read_bytes() == kept + b"2\n"


def test_a_value_with_a_newline_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    writer = LogDirTransport(tmp_path).writer("t", None)
    with pytest.raises(ValueError, match="newline"):
        writer.write([OutRecord("a", b"1"), OutRecord("b", b"{\n}")])
    assert writer.position() == (0,)


def test_a_full_disk_is_named_and_leaves_whole_records(tmp_path: Path) -> None:
    transport = LogDirTransport(tmp_path)
    writer = transport.writer("t", None)
    writer.write([OutRecord("a", b"1" * 99)])
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, hard))  # a write that is cut short, then refused, as on a full disk
    try:
        with pytest.raises(TransportError, match=r"0\.jsonl: File too large"):
            writer.write([OutRecord("a", b"2" * 99)] * 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert writer.position() == (100,)
    assert (tmp_path / "t" / "0.jsonl").read_bytes() == b"1" * 99 + b"\n"


def test_a_path_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a file where the topic's folder should be")
    with pytest.raises(TransportError, match=str(tmp_path / "t")):
        LogDirTransport(tmp_path).writer("t", None)
