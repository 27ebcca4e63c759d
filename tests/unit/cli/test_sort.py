"""`c360 sort`: every line once, in order of time; nothing incomplete under a final name."""

from __future__ import annotations

import fcntl
import gzip
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from c360_stream.cli.sort.external_sort import FAN_IN, MARKER, sort_log
from c360_stream.contracts.events import EVENT_BYTES_MAX
from c360_stream.errors import ConfigurationError, StateError, TransportError
from c360_stream.settings import Settings, load_settings

TOPIC = "c360.product.events.v1"
MUCH = 64 * 1024 * 1024
DEADLINE_SECONDS = 60.0


def viewed(number: int, second: int) -> bytes:
    """A line of an event; the number tells it from others of its time."""
    return (
        b'{"event_id":"e%d","account_id":"a","event_type":"page_viewed","occurred_at":"2024-05-01T%02d:%02d:%02dZ"}'
        % (number, second // 3600, second // 60 % 60, second % 60)
    )


def second_of(line: bytes) -> int | None:
    """Its time, of a line of `viewed`."""
    if not line.startswith(b'{"event_id":"e') or not line.isascii():
        return None
    hour, minute, second = json.loads(line)["occurred_at"][11:-1].split(":")
    return int(hour) * 3600 + int(minute) * 60 + int(second)


def in_order(lines: list[bytes]) -> list[bytes]:
    """The lines by time; what has none stays behind the line before it."""
    keyed, last = [], -1
    for line in lines:
        second = second_of(line)
        last = last if second is None else second
        keyed.append((last, line))
    return [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def write(folder: Path, lines: list[bytes], name: str = "0.jsonl", end: bytes = b"\n") -> Path:
    (folder / TOPIC).mkdir(parents=True, exist_ok=True)
    content = b"\n".join(lines) + end
    path = folder / TOPIC / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(out: Path, name: str = "0.jsonl") -> list[bytes]:
    content = (out / TOPIC / name).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    assert content.endswith(b"\n")
    return content[:-1].split(b"\n")


def names(folder: Path) -> list[str]:
    """Everything below a folder, hidden files included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


BROKEN = [b"", b"no JSON", b"\xff\xfe", '{"é'.encode("latin-1"), b"{}", b"\r", b"[" * 600]
moments = st.integers(0, 20)
lines_of = st.lists(st.one_of(moments, moments, st.sampled_from(BROKEN)), min_size=1, max_size=3 * FAN_IN)


@hypothesis_settings(deadline=None, max_examples=50)
@given(lines_of, st.sampled_from([1, 2_000, MUCH]), st.sampled_from(["0.jsonl", "0.jsonl.gz"]))
def test_every_line_is_there_once_in_order_and_equal_times_keep_theirs(
    found: list[int | bytes], memory_bytes: int, name: str
) -> None:
    """With next to no memory each line is a run of its own, and they are merged in two rounds."""
    lines = [viewed(number, one) if isinstance(one, int) else one for number, one in enumerate(found)]
    with tempfile.TemporaryDirectory() as folder:
        log, out = Path(folder, "log"), Path(folder, "out")
        write(log, lines, name)
        sort_log(Settings(log_dir=log), out, memory_bytes)
        assert read(out, name) == in_order(lines)
        assert names(out) == [TOPIC, f"{TOPIC}/{name}"]


def test_all_partitions_of_the_input_topics_are_sorted_and_nothing_else(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = settings.log_dir, tmp_path / "a" / "out"
    write(log, [viewed(1, 9), viewed(2, 5)])
    write(log, [viewed(3, 8), b"?", viewed(4, 4)], "7.jsonl.gz")
    paid = viewed(5, 3).replace(b"page_viewed", b"invoice_paid").replace(b"}", b',"amount_cents":1}')
    for topic in (settings.input_topic("billing"), settings.risk_topic):
        (log / topic).mkdir()
        (log / topic / "0.jsonl").write_bytes(viewed(6, 7) + b"\n" + paid)
    (log / "truth.jsonl").write_text("{}")
    before = {name: (log / name).read_bytes() for name in names(log) if (log / name).is_file()}
    sort_log(settings, out, MUCH)
    assert names(out) == [
        settings.input_topic("billing"),
        f"{settings.input_topic('billing')}/0.jsonl",
        *(TOPIC, f"{TOPIC}/0.jsonl", f"{TOPIC}/7.jsonl.gz"),
    ]
    assert read(out) == [viewed(2, 5), viewed(1, 9)]
    assert read(out, "7.jsonl.gz") == [viewed(4, 4), viewed(3, 8), b"?"]
    # A product event is no billing event: it comes first, since nothing is before it. The last line lacks its end.
    assert (out / settings.input_topic("billing") / "0.jsonl").read_bytes() == viewed(6, 7) + b"\n" + paid + b"\n"
    assert {name: (log / name).read_bytes() for name in before} == before
    said = capsys.readouterr()
    assert said.out == (
        "7 lines of 3 partitions, 2 of them no events, each behind the line before it, in the order of time in"
        f" {out}; run them: c360 run --log-dir {out} --until-end\n"
    )
    assert "100% of 0.0 MB read" in said.err


@pytest.mark.parametrize("memory_bytes", [1, MUCH])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unended", "ended"])
def test_lines_of_any_length_keep_every_byte(settings: Settings, tmp_path: Path, memory_bytes: int, end: bytes) -> None:
    longest = viewed(2, 5)[:-1] + b" " * (EVENT_BYTES_MAX - len(viewed(2, 5))) + b"}"
    too_long = longest[:-1] + b" }"
    huge = b"x" * (20 * EVENT_BYTES_MAX + 3)
    assert len(longest) == EVENT_BYTES_MAX
    write(settings.log_dir, [viewed(1, 9), huge, longest, too_long, viewed(3, 1), too_long + b"?"], end=end)
    sort_log(settings, tmp_path / "out", memory_bytes)
    assert read(tmp_path / "out") == [viewed(3, 1), too_long + b"?", longest, too_long, viewed(1, 9), huge]


def test_an_empty_partition_stays_one(settings: Settings, tmp_path: Path) -> None:
    write(settings.log_dir, [], end=b"")
    sort_log(settings, tmp_path / "out", MUCH)
    assert (tmp_path / "out" / TOPIC / "0.jsonl").read_bytes() == b""


def test_a_place_that_is_taken_is_refused_and_left_alone(settings: Settings, tmp_path: Path) -> None:
    write(settings.log_dir, [viewed(1, 9), viewed(2, 5)])
    for out in (settings.log_dir, tmp_path / "log" / ".." / "log"):
        with pytest.raises(ConfigurationError, match="is the log directory itself"):
            sort_log(settings, out, MUCH)
    out = tmp_path / "out"
    out.mkdir()
    (out / "note.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        sort_log(settings, out, MUCH)
    assert names(out) == ["note.txt"]
    with pytest.raises(TransportError, match="Not a directory"):
        sort_log(settings, out / "note.txt" / "below", MUCH)
    with pytest.raises(ConfigurationError, match="no input partition"):
        sort_log(load_settings(log_dir=out), tmp_path / "other", MUCH)
    assert not (tmp_path / "other").exists()


def test_a_directory_that_cannot_be_written_to_is_named(settings: Settings) -> None:
    """Nobody may make anything there, not even root."""
    write(settings.log_dir, [viewed(1, 9)])
    with pytest.raises(TransportError, match="/proc/c360-sorted: "):
        sort_log(settings, Path("/proc/c360-sorted"), MUCH)


def test_a_damaged_file_is_named_and_what_is_whole_by_then_is_kept_apart(settings: Settings, tmp_path: Path) -> None:
    write(settings.log_dir, [viewed(1, 9), viewed(2, 5)])
    damaged = write(settings.log_dir, [viewed(number, number) for number in range(1000)], "1.jsonl.gz")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-20])
    out = tmp_path / "out"
    with pytest.raises(TransportError, match=r"1\.jsonl\.gz: damaged gzip file"):
        sort_log(settings, out, MUCH)
    assert names(out) == [MARKER, TOPIC, f"{TOPIC}/0.jsonl"]
    damaged.write_bytes(whole)
    sort_log(settings, out, MUCH)
    assert len(read(out, "1.jsonl.gz")) == 1000
    assert not (out / MARKER).exists()


@contextmanager
def file_size_max(size: int) -> Iterator[None]:
    """A write beyond is cut short, then refused, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("memory_bytes", [20_000, MUCH], ids=["a run", "the result"])
def test_a_full_disk_leaves_nothing_incomplete_and_a_second_call_works(
    settings: Settings, tmp_path: Path, memory_bytes: int
) -> None:
    lines = [viewed(number, 20_000 - number) for number in range(20_000)]
    write(settings.log_dir, lines)
    out = tmp_path / "out"
    with file_size_max(100_000 if memory_bytes == MUCH else 5_000), pytest.raises(TransportError, match="too large"):
        sort_log(settings, out, memory_bytes)
    assert names(out) == [MARKER, TOPIC]
    write(tmp_path / "other", lines)
    with pytest.raises(ConfigurationError, match=r"has some of .*/log, sorted"):
        sort_log(load_settings(log_dir=tmp_path / "other"), out, MUCH)
    sort_log(settings, out, memory_bytes)
    assert read(out) == lines[::-1]
    assert names(out) == [TOPIC, f"{TOPIC}/0.jsonl"]


def test_one_call_at_a_time_is_at_work_in_a_directory(settings: Settings, tmp_path: Path) -> None:
    write(settings.log_dir, [viewed(1, 9)])
    out = tmp_path / "out"
    out.mkdir()
    with (out / MARKER).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another c360 sort is at work"):
            sort_log(settings, out, MUCH)
    sort_log(settings, out, MUCH)
    assert read(out) == [viewed(1, 9)]


def test_killed_in_the_middle_it_leaves_nothing_incomplete_and_a_second_call_works(
    settings: Settings, tmp_path: Path
) -> None:
    """Once while it sorts, once while it merges the second partition."""
    lines = [viewed(number, number * 7919 % 86_400) for number in range(50_000)]
    for name in ("0.jsonl", "1.jsonl.gz"):
        write(settings.log_dir, lines, name)
    out = tmp_path / "out"
    expected = in_order(lines)
    command = [sys.executable, "-m", "c360_stream", "sort", str(settings.log_dir), "--out", str(out)]
    for seen in ("run-3", ".1.jsonl.gz.incomplete"):
        process = subprocess.Popen([*command, "--memory-mb", "1"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any(path.stat().st_size > 0 for path in out.rglob(seen)):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        complete = [path.name for path in (out / TOPIC).iterdir() if not path.name.startswith(".")]
        assert [read(out, name) == expected for name in complete] == [True] * len(complete)
        assert "1.jsonl.gz" not in complete
        assert (out / MARKER).exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("100,000 lines of 2 partitions, in the order of time")
    assert read(out) == read(out, "1.jsonl.gz") == expected
    assert names(out) == [TOPIC, f"{TOPIC}/0.jsonl", f"{TOPIC}/1.jsonl.gz"]
