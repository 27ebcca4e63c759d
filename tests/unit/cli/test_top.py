"""The board shows the newest score of every account, whatever the topics hold and however they were read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from c360_stream import metrics
from c360_stream.cli.terminal import escaped
from c360_stream.cli.top.board import NEWS_MAX, Board
from c360_stream.cli.top.live import TopicTail, top
from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.connectors.ports import OutRecord
from c360_stream.errors import ConfigurationError
from c360_stream.operators.health import Health
from c360_stream.runtime.health_server import HealthServer
from c360_stream.settings import Settings


def score(account: str, day: int, risk: float, tier: str = "high", **fields: Any) -> bytes:
    as_of = f"2025-06-{day:02}T00:00:00Z"
    return json.dumps({"account_id": account, "as_of": as_of, "risk": risk, "tier": tier} | fields).encode()


def alarm(day: int, subject: str) -> bytes:
    raised_at = f"2025-06-{day:02}T07:00:00Z"
    return json.dumps(
        {"raised_at": raised_at, "kind": "volume", "subject": subject, "severity": "warning", "detail": "fell by half"}
    ).encode()


def frame(board: Board) -> str:
    console = Console(width=140, file=io.StringIO())
    console.print(board.frame([]))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def board_of(*scores: bytes, rows: int = 10, begins: dict[str, float] | None = None) -> Board:
    board = Board(rows, begins=begins)
    for value in scores:
        board.take_score(None, value)
    return board


def test_the_riskiest_come_first_and_no_more_than_asked_for() -> None:
    shown = frame(board_of(score("a", 1, 0.2), score("b", 1, 0.9), score("c", 1, 0.5), rows=2))
    assert shown.index("b ") < shown.index("c ")
    assert "90%" in shown
    assert "20%" not in shown
    assert "3 active accounts" in shown


def test_reasons_money_and_tier_changes_are_shown() -> None:
    reasons = [{"text": "Active users fell 64%", "feature": "avg_dau_7d"}, {"text": "second"}]
    shown = frame(
        board_of(score("a", 2, 0.3, previous_tier="low", mrr_at_risk_cents=123_456_00, reasons=reasons, new_field=1))
    )
    assert "123,456" in shown
    assert "Active users fell 64%" in shown
    assert "second" not in shown
    assert "but:" not in shown
    assert "2025-06-02  high      a, before: low" in shown


def test_what_speaks_most_against_a_risk_stands_behind_its_strongest_reason() -> None:
    mitigations = [{"text": "The latest NPS answer was 9 of 10"}, {"text": "second"}]
    shown = frame(board_of(score("a", 2, 0.3, reasons=[{"text": "Only 18% used"}], mitigations=mitigations)))
    assert "Only 18% used (but: The latest NPS answer was 9 of 10)" in shown
    assert "second" not in shown


def test_tiers_come_first_and_money_within_them() -> None:
    """A tier outlasts its risk: by risk alone `fading` would stand below `rising`."""
    scores = [
        score("fading", 1, 0.22, "high", mrr_at_risk_cents=900_00), score("rising", 1, 0.24, "medium"),
        score("small", 1, 0.4, "high", mrr_at_risk_cents=100_00), score("free", 1, 0.45, "high"),
        score("first", 1, 0.6, "critical", mrr_at_risk_cents=1_00), score("odd", 1, 0.99, "nonsense"),
    ]  # fmt: skip
    shown = frame(board_of(*scores, begins={"medium": 0.1, "high": 0.25, "critical": 0.5}))
    names = ["first", "fading", "small", "free", "rising", "odd"]
    assert [line.split()[0] for line in shown.splitlines() if line.split()[:1] and line.split()[0] in names] == names
    assert "22%*" in shown
    assert shown.count("%*") == 1
    assert "By tier, most MRR at risk first. *: the risk is below where the tier begins" in shown
    assert "*" not in frame(board_of(score("small", 1, 0.4), begins={"high": 0.25}))


WIDE = {
    "long": "a" * 128,
    "wide": "株" * 128,
    "emoji": "🙂" * 128,
    "markup": "[bold red]x[/]" * 9,
    "right to left": "\u05d0" * 64 + "\u202e" + "x" * 63,
    "control": "\x1b[2J\r\n\t\x07" * 16,
    "spaces": "a  b " * 25 + "end",
}


@pytest.mark.parametrize("tall", [True, False])
@pytest.mark.parametrize("name", WIDE.values(), ids=list(WIDE))
def test_identifiers_are_never_cut(name: str, tall: bool) -> None:
    board = board_of(score(name, 1, 0.61, "critical", previous_tier="low", mrr_at_risk_cents=1_234_567_00))
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(board.frame([], columns=80, tall=tall))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert all(letter.isprintable() for letter in "".join(lines))
    whole = "".join(escaped(name).split())
    head = next(number for number, line in enumerate(lines) if line.startswith(" account "))
    rows = lines[head + 2 : lines.index(" Tier changes")]
    # The identifier's column is the first, and as wide as its heading's.
    column = "".join(set_cell_size(line, 21) for line in rows if not line.startswith("By tier"))
    assert "".join(column.split()) == whole
    news = "".join("".join(lines[lines.index(" Tier changes") + 1 : lines.index(" Alarms")]).split())
    assert f"{whole},before:low" in news


def test_identifiers_that_differ_look_different() -> None:
    names = ["a b", "a  b", "a\tb", "a\u00a0b", "a\u202eb"]
    shown = frame(board_of(*(score(name, 1, 0.5) for name in names)))
    assert all(f" {escaped(name)} " in shown for name in names)


def test_a_reason_takes_one_line_on_a_live_board_only() -> None:
    board = board_of(score("a", 1, 0.5, reasons=[{"text": "word " * 40 + "end"}]))
    for tall in (True, False):
        console = Console(width=80, file=io.StringIO())
        console.print(board.frame([], tall=tall))
        assert isinstance(console.file, io.StringIO)
        assert ("end" in console.file.getvalue()) == tall


def test_tombstones_of_both_transports_remove_the_account() -> None:
    board = board_of(score("a", 1, 0.9), score("b", 1, 0.9))
    board.take_score(b"a", b"")
    board.take_score(None, b'{"account_id":"b","tombstone":true}')
    assert "0 active accounts" in frame(board)
    assert "No scores yet" in frame(board)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 28)), unique=True, max_size=30).flatmap(st.permutations)
)
def test_order_and_repeats_do_not_matter(found: list[tuple[str, int]]) -> None:
    values = [score(account, day, day / 100, previous_tier="low") for account, day in found]
    assert frame(board_of(*values, *values[::2])) == frame(board_of(*sorted(values)))


@given(st.binary(max_size=60) | st.sampled_from([b"[]", b'{"account_id":1}', b'{"account_id":"a","risk":"x"}']))
def test_what_it_cannot_read_it_leaves_out(value: bytes) -> None:
    board = board_of(value)
    board.take_alarm(value)
    assert "0 active accounts" in frame(board)


def test_news_is_bounded_newest_first_and_counts_a_repeat_once() -> None:
    board = Board(3)
    for day in [*range(1, 20), 19, 19]:
        board.take_alarm(alarm(day, f"topic-{day}-"))
    shown = frame(board)
    assert shown.count("fell by half") == NEWS_MAX
    assert shown.count("topic-19-") == 1
    assert shown.index("topic-19-") < shown.index("topic-18-")


def test_names_from_outside_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in frame(board_of(score("a\x1b[2J[red]x", 1, 0.9, "\x1b[0m", previous_tier="\x07")))


@pytest.fixture
def transport(settings: Settings) -> Iterator[LogDirTransport]:
    with closing(LogDirTransport(settings.log_dir)) as transport:
        yield transport


def publish(transport: LogDirTransport, topic: str, *values: bytes, resume: tuple[int, ...] | None = None) -> None:
    with closing(transport.writer(topic, resume)) as writer:
        writer.write([OutRecord("key", value) for value in values])
        writer.flush()


def test_a_topic_may_come_later_grow_and_be_cut_back(transport: LogDirTransport) -> None:
    transport.root.mkdir()
    with closing(TopicTail(transport, "t")) as tail:
        assert list(tail.read()) == []
        publish(transport, "t", b"1", b"2")
        assert [value for _, value in tail.read()] == [b"1", b"2"]
        publish(transport, "t", b"3")
        assert [value for _, value in tail.read()] == [b"3"]
        publish(transport, "t", resume=(2,))  # a run resumes from its snapshot
        assert list(tail.read()) == []
        assert [value for _, value in tail.read()] == [b"1"]


def test_once_prints_one_board_with_the_lag_of_the_running_process(
    settings: Settings, transport: LogDirTransport, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(transport, settings.risk_topic, score("acme", 3, 0.61, "critical"))
    publish(transport, settings.alarm_topic, alarm(4, "c360.billing.events.v1"))
    metrics.CONSUMER_LAG_BYTES.clear()  # metrics are the process's: other tests may have left theirs
    metrics.CONSUMER_LAG_BYTES.labels("c360.product.events.v1", "0").set(2_500_000)
    metrics.set_watermark(1_750_000_000)
    with closing(HealthServer(settings.metrics_address, Health())) as server:
        top(settings.model_copy(update={"metrics_address": server.address}), once=True, rows=5)
    shown = capsys.readouterr().out
    assert "acme" in shown
    assert "volume c360.billing.events.v1: fell by half" in shown
    assert "1 process(es) · watermark 2025-06-15 15:06 UTC · behind 2.5 MB" in " ".join(shown.split())


def test_as_json_it_is_one_object_with_the_records_of_the_topics(
    settings: Settings, transport: LogDirTransport, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "株\x1b[2J\u202e"
    fields = {"previous_tier": "low", "mrr_at_risk_cents": 12_34, "mrr_cents": None, "field_of_a_later_release": [1]}
    values = [score(name, 3, 0.61, "critical", **fields), score("second", 3, 0.3), score("third", 3, 0.2)]
    publish(transport, settings.risk_topic, *values, b'{"account_id":"a","risk":NaN}')
    publish(transport, settings.alarm_topic, alarm(4, "c360.billing.events.v1"))
    top(settings, once=False, rows=2, as_json=True)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.isascii()
    assert shown.out.count("\n") == 1
    found = json.loads(shown.out)
    assert found["accounts"] == [json.loads(value) for value in values[:2]]
    assert (found["active_accounts"], found["mrr_at_risk_cents"]) == (3, 1234)
    assert found["tier_changes"] == [
        {"account_id": name, "as_of": "2025-06-03T00:00:00Z", "tier": "critical", "previous_tier": "low"}
    ]
    assert found["alarms"] == [json.loads(alarm(4, "c360.billing.events.v1"))]
    assert found["processes"] == []


def test_an_empty_directory_is_a_board_and_a_missing_one_an_error(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        top(settings, once=True, rows=5)
    settings.log_dir.mkdir()
    top(settings, once=True, rows=5)
