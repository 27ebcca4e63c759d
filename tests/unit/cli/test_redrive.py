"""Dead letters read back, and what becomes of each; `tests/integration/test_redrive_real.py` has the broker."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.cli.main import cli
from c360_stream.cli.redrive.transfer import GROUPS_MAX, _report, _Tally
from c360_stream.connectors.dead_letters import TIMES, Fate, Letter, Selection, read_letter
from c360_stream.connectors.ports import TOMBSTONE, TRUNCATED, Headers
from c360_stream.contracts.records import DeadLetter

TOPIC = "c360.support.events.v1"
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=9)), max_size=4)


def letter(headers: Headers = (), value: bytes | None = b"{}", topic: str = TOPIC) -> Letter:
    made = DeadLetter(
        topic=topic,
        partition=3,
        offset=1041,
        stage="decode",
        exception_class="Refused",
        exception_message="why",
        key=b"acme",
        value=value,
        headers=list(headers),
        refused_us=0,
    )
    mark = [TOMBSTONE] if value is None else []  # which a reader adds
    found = read_letter(b"acme", value or b"", [*headers, *made.connect_headers(), *mark])
    assert found is not None
    return found


@given(HEADERS)
def test_a_letter_is_read_as_it_was_written(headers: list[tuple[str, bytes | None]]) -> None:
    found = letter(headers)
    assert (found.topic, found.partition, found.offset, found.stage) == (TOPIC, 3, 1041, "decode")
    assert (found.exception_class, found.exception_message, found.key) == ("Refused", "why", b"acme")
    assert list(found.headers) == headers


@given(HEADERS)
def test_headers_that_are_not_ours_are_no_letter_and_no_error(headers: list[tuple[str, bytes | None]]) -> None:
    assert read_letter(None, b"", headers) is None


@pytest.mark.parametrize("number", [b"", b"-1", b"x", b"9" * 5_000, "٣".encode(), None])
def test_a_letter_without_proper_numbers_is_none(number: bytes | None) -> None:
    names = ("topic", "partition", "offset", "stage", "exception.class.name", "exception.message")
    facts = (TOPIC.encode(), b"0", b"0", b"size", b"E", b"m")
    whole: Headers = [(f"__connect.errors.{name}", fact) for name, fact in zip(names, facts, strict=True)]
    broken: Headers = [(name, number if name.endswith(".offset") else value) for name, value in whole]
    assert read_letter(None, b"", whole) is not None
    assert read_letter(None, b"", broken) is None


def test_the_fates() -> None:
    everything, inputs = Selection(), {TOPIC}
    assert letter().fate(everything, inputs) is Fate.SENT
    assert letter(topic="c360.risk.scores.v1").fate(everything, inputs) is Fate.UNKNOWN_TOPIC
    assert letter().fate(Selection(stage="size"), inputs) is Fate.UNSELECTED
    assert letter().fate(Selection(topic=TOPIC, stage="decode", exception="Refused"), inputs) is Fate.SENT
    assert letter([TRUNCATED]).fate(everything, inputs) is Fate.CUT
    assert letter([(TIMES, b"2")]).fate(everything, inputs) is Fate.SENT
    assert letter([(TIMES, b"3")]).fate(everything, inputs) is Fate.REPEATED


@pytest.mark.parametrize("forged", [b"", b"-7", b"many", b"9" * 5_000, None])
def test_a_forged_count_begins_anew_and_is_replaced(forged: bytes | None) -> None:
    record = letter([(TIMES, forged), ("kind", b"x")]).record("c360.dead-letters.v1/0/5")
    assert list(record.headers) == [
        ("kind", b"x"),
        ("__c360.redriven.from", b"c360.dead-letters.v1/0/5"),
        (TIMES, b"1"),
    ]


def test_a_tombstone_is_one_again_and_nothing_else_is() -> None:
    assert letter([("kind", b"x")], None).record("d/0/0").value is None
    assert letter([], None).record("d/0/0").headers[0] == ("__c360.redriven.from", b"d/0/0")
    assert letter([("c360.tombstone", b"true")], b"").record("d/0/0").value == b""
    assert letter((), b"").record("d/0/0").value == b""


def test_every_selection_has_a_group_of_its_own() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    selections = [Selection(), Selection(moment), Selection(topic="x"), Selection(stage="x"), Selection(exception="x")]
    assert len({each.group("c360") for each in selections}) == len(selections)


def test_a_log_directory_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_LOG_DIR", str(tmp_path))
    done = CliRunner().invoke(cli, ["redrive"])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert f"c360 redrive works on Kafka: the files of {tmp_path} belong to their writers; fix" in done.stderr


def test_reasons_are_told_most_frequent_first_and_in_bounded_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """They come from headers that others can write."""
    tally = _Tally()
    for number in range(200):
        why = f"field_{number}: rule" if number % 2 else "seats: Expected `int`, got `str`\x1b[2J"
        forged = msgspec.structs.replace(letter(), exception_message=why)
        tally.add(forged, Fate.SENT)
    assert len(tally.reasons) <= GROUPS_MAX + 1
    _report(tally, dry_run=True)
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith("refused: ")]
    assert lines[0] == f"refused: 100 of {TOPIC}: seats: Expected `int`, got `str` [2J"
    assert len(lines) == 6
    assert "\x1b" not in shown
    assert "200 of 200 dead letters would be sent" in shown
