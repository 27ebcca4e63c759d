"""Log lines: what a reader of stderr, or a program that takes it apart, gets."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import sys
import warnings
from typing import get_args

import pytest

from c360_stream.logs.events import (
    COMMAND_FAILED,
    EVENTS,
    LOG,
    MODEL_ADOPTED,
    OUTAGE_ENDED,
    RECORDS_REFUSED,
    RUN_ENDED,
    SETTING_UNKNOWN,
    STOP_FORCED,
    TICK_LEARNT,
    Happening,
)
from c360_stream.logs.lines import LogFormat, line, log_failure, set_up
from tests.reference.log_lines import event_of

Err = pytest.CaptureFixture[str]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ENDED: dict[str, object] = {
    "read": 1204,
    "accepted": 1203,
    "dead_letters": 1,
    "duplicates": 0,
    "late": 0,
    "late_after_tick": 0,
}
ENDED |= {"scores": 7, "seconds": 12.34, "how": "input_ended", "behind": ""}


def written(err: Err) -> list[dict[str, object]]:
    return [json.loads(text) for text in err.readouterr().err.splitlines()]


def test_json_is_one_object_a_line(capsys: Err) -> None:
    set_up("json", "info", process=2)
    OUTAGE_ENDED.log(place="Kafka at b:9092", seconds=1.25)
    (found,) = written(capsys)
    assert TIME.fullmatch(str(found.pop("time")))
    assert found == {
        "level": "warning",
        "event": "outage_ended",
        "message": "Kafka at b:9092 answers again, after 1.2 s",
        "process": 2,
        "place": "Kafka at b:9092",
        "seconds": 1.25,
    }


def test_text_is_a_sentence_and_what_it_leaves_out(capsys: Err) -> None:
    set_up("text", "info", process=0)
    RUN_ENDED.log(**ENDED)
    (found,) = capsys.readouterr().err.splitlines()
    assert TIME.match(found)
    assert found.endswith(
        "Z info run_ended: process 0: 1,204 events read, 1,203 accepted, 1 dead letters, 0 duplicates, 0 late,"
        " 7 scores, 12.3 s (late_after_tick=0, how=input_ended)"
    )


def test_what_has_no_value_is_left_out_and_json_has_no_nan(capsys: Err) -> None:
    set_up("json", "info")
    model = {"model_name": "prior-rule", "model_version": "v", "feature_version": 1, "as_of": "T", "how": "started"}
    MODEL_ADOPTED.log(**model, before=None)
    OUTAGE_ENDED.log(place="p", seconds=math.nan)
    first, second = written(capsys)
    assert "before" not in first
    assert "process" not in first, "of no flow"
    assert second["seconds"] is None


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_others_wrote_stays_on_one_line(capsys: Err, log_format: LogFormat) -> None:
    set_up(log_format, "info")
    SETTING_UNKNOWN.log(setting="C360_A\x1b[2J\nC360_B")
    RECORDS_REFUSED.log(topic="t", records=3, reasons={"field\nx": 2, "y": 1})
    first, second = capsys.readouterr().err.splitlines()
    assert "\x1b" not in first + second
    assert "refused 3 of t: field x: 2, y: 1" in second


@pytest.mark.parametrize(("level", "heard"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_the_level_is_the_least_that_is_heard(capsys: Err, level: str, heard: int) -> None:
    set_up("json", level)  # type: ignore[arg-type]
    TICK_LEARNT.log(as_of="T", learnt=0, churned=0, model_name="m", model_version="v")
    RUN_ENDED.log(**ENDED)
    OUTAGE_ENDED.log(place="p", seconds=1.0)
    assert len(written(capsys)) == heard
    assert TICK_LEARNT.enabled == (level == "debug")


def test_an_event_can_be_said_in_a_lower_voice(capsys: Err) -> None:
    set_up("json", "info")
    OUTAGE_ENDED.debug(place="p", seconds=1.0)
    assert written(capsys) == []
    set_up("json", "debug")
    OUTAGE_ENDED.debug(place="p", seconds=1.0)
    assert [found["level"] for found in written(capsys)] == ["debug"]


def test_of_libraries_warnings_are_heard_and_nothing_else(capsys: Err) -> None:
    set_up("json", "debug")
    library = logging.getLogger("some.library")
    library.debug("with parameters: %s", "hunter2")
    library.info("with parameters: %s", "hunter2")
    library.warning("two\nlines")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("numbers", RuntimeWarning, stacklevel=1)
    found = written(capsys)
    assert [each["event"] for each in found] == ["library_warned"] * len(found)
    assert found[0]["message"] == "some.library: two lines"
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("debug", [False, True])
def test_an_exception_is_one_line_but_for_debug(capsys: Err, log_format: LogFormat, debug: bool) -> None:
    set_up(log_format, "debug" if debug else "info")
    try:
        raise ValueError("why")
    except ValueError:
        LOG.warning(Happening(STOP_FORCED, {}), exc_info=True)
    text = capsys.readouterr().err
    assert "ValueError: why" in text.splitlines()[0]
    assert ("Traceback" in text) == debug
    assert len(text.splitlines()) == 1 or (debug and log_format == "text")


def test_a_failure_is_json_where_lines_are(capsys: Err) -> None:
    assert not log_failure("what; fix", 1)
    set_up("text", "info")
    assert not log_failure("what; fix", 1), "text has its own form"
    set_up("json", "error")
    assert log_failure("what; fix", 2, ValueError("x"))
    (found,) = written(capsys)
    assert (found["event"], found["message"], found["exit_code"]) == (COMMAND_FAILED.name, "what; fix", 2)
    assert str(found["stacks"]).endswith("ValueError: x\n")


def test_a_line_can_be_had_without_being_written(capsys: Err) -> None:
    assert event_of(line(STOP_FORCED).rstrip("\n")) == "stop_forced"
    set_up("json", "info", process=1)
    assert json.loads(line(STOP_FORCED))["process"] == 1
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    set_up("text", "info")
    for stream in (Full(), closed := io.StringIO()):
        closed.close()
        monkeypatch.setattr(sys, "stderr", stream)
        OUTAGE_ENDED.log(place="p", seconds=1.0)


def test_setting_up_again_replaces_what_was(capsys: Err) -> None:
    set_up("text", "info")
    set_up("json", "info")
    OUTAGE_ENDED.log(place="p", seconds=1.0)
    assert len(written(capsys)) == 1


def test_every_event_has_a_line_of_both_forms(capsys: Err) -> None:
    for event in EVENTS.values():
        fields = {name: {"a": 1} if name in ("tiers", "reasons") else 3 for name in event.fields}
        for log_format in get_args(LogFormat):
            set_up(log_format, "debug")
            event.log(**fields)
            first = capsys.readouterr().err.splitlines()[0]
            name = json.loads(first)["event"] if log_format == "json" else event_of(first)
            assert name == event.name
