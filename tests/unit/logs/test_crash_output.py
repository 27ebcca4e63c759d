"""What native code writes: kept while it works, given to who asks, and said if it was its last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from c360_stream.errors import C360Error
from c360_stream.logs import crash_output as native
from c360_stream.logs.crash_output import log_crash_output, native_output
from c360_stream.logs.lines import set_up

WORDS = "free(): invalid pointer\n"
NO_NEWS = "worker 1:\terror connecting to worker 0: Connection refused (os error 111); retrying\n"


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_written_is_kept_from_stderr_while_all_goes_well(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kept: bool
) -> None:
    file = tmp_path / "native-0.txt"
    with native_output(file if kept else None) as text:
        os.write(2, WORDS.encode())
        assert text() == WORDS
        assert not kept or file.read_text() == WORDS
    assert capfd.readouterr().err == ""
    assert not file.exists()


def test_the_last_words_are_those_that_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process that has waited for hours for another one has said so each second."""
    file = tmp_path / "native-0.txt"
    waited = NO_NEWS * (2 * native.TEXT_BYTES_MAX // len(NO_NEWS))
    with native_output(file) as text:
        for begin in range(0, len(waited), 60_000):
            os.write(2, waited[begin : begin + 60_000].encode())
        os.write(2, WORDS.encode())
        assert text().endswith(WORDS)
        assert len(text()) == native.TEXT_BYTES_MAX
    file.write_text(waited + WORDS)
    set_up("text", "info")
    log_crash_output(file, 0)
    assert capsys.readouterr().err.endswith(f"\n{WORDS}")


def fail_with(error: Exception, keep_in: Path) -> None:
    """Write, and raise an error."""
    with native_output(keep_in):
        os.write(2, WORDS.encode())
        raise error


def test_a_failure_that_is_understood_shows_nothing_of_it_and_any_other_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for error, shown in ((C360Error("it", "fix it"), ""), (ValueError(), WORDS)):
        with pytest.raises(type(error)):
            fail_with(error, tmp_path / "native-0.txt")
        assert capfd.readouterr().err == shown


def test_what_is_left_is_said_once_without_what_is_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "native-2.txt"
    set_up("text", "info")
    for left, said in ((NO_NEWS + WORDS + NO_NEWS, WORDS), (NO_NEWS, ""), (None, "")):
        if left is not None:
            file.write_text(left)
        log_crash_output(file, 2)
        written = capsys.readouterr().err
        assert written.endswith(said)
        assert ("process 2: native code had written before it was ended:\n" in written) == bool(said)
        assert not file.exists()
