"""What a run says of itself: all that happens, once, and never a value of an event, a password or an id."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.logs.events import EVENTS
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.flows.processes import ends, started, wait_until
from tests.reference.flow_run import FlowRun
from tests.reference.log import topic_name
from tests.reference.log_lines import event_of, events_in, other_lines

MARK = "xyzzy"
AMOUNT_CENTS = 771_937_155
DAYS, ACCOUNTS = 10, 6
PASSWORD = f"{MARK}-password"
OF_EVERY_LINE = {"time", "level", "event", "message", "process"}


def event_line(topic: str, kind: str, **fields: object) -> tuple[str, str]:
    """Topic and line of an event, whose id is that of its kind and hour."""
    name = f"{MARK}-{topic}-{kind}-{fields['occurred_at']}"
    return topic, json.dumps({"event_id": name, "event_type": kind, **fields})


def marked_events() -> Iterator[tuple[str, str]]:
    """Topic and line, in order of time: every value that a customer gave has the mark, or is that amount."""
    begin = datetime(2024, 3, 4, tzinfo=UTC)
    for day in range(DAYS):
        at = begin + timedelta(days=day)
        for number in range(ACCOUNTS):
            at_hour = (at + timedelta(hours=number)).isoformat()
            event = partial(event_line, account_id=f"{MARK}-acct-{number}", occurred_at=at_hour)
            if not day:
                paid = {"mrr_cents": AMOUNT_CENTS, "seats": 5}
                yield event("billing", "subscription_started", plan=f"{MARK}-plan", **paid)
            yield event("billing", "invoice_paid", amount_cents=AMOUNT_CENTS)
            text = {"ticket_id": f"{MARK}-ticket", "subject": f"{MARK} subject", "body": f"{MARK} body\nof two lines"}
            yield event("support", "ticket_opened", priority="high", **text)
            yield event("product", "task_created", user_id=f"{MARK}-user", feature=f"{MARK}-feature", extra=f"{MARK}-x")
            yield event("product", "task_created", user_id=f"{MARK}-user")  # a duplicate
            # What is refused.
            yield event("billing", f"{MARK}_happened")
            yield event("billing", "invoice_paid", amount_cents=f"{AMOUNT_CENTS}")
            yield event("support", "csat_submitted", score=AMOUNT_CENTS)
            yield event("support", "ticket_opened", priority=f"{MARK}", ticket_id=f"{MARK}-ticket")
            yield event("product", f"{MARK.upper()} page", **{f"{MARK}_field": MARK})
            yield "product", f'{{"event_id": "{MARK}", {MARK}'
            yield "product", json.dumps({"account_id": f"{MARK}-acct-{number}", "occurred_at": f"{MARK}"})


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory of such events."""
    path = tmp_path_factory.mktemp("marked")
    lines: dict[str, list[str]] = {}
    for topic, text in marked_events():
        lines.setdefault(topic, []).append(text)
    for topic, of_topic in lines.items():
        (path / topic_name(topic)).mkdir()
        (path / topic_name(topic) / "0.jsonl").write_text("\n".join(of_topic) + "\n")
    return path


def assert_no_value(output: str) -> None:
    """Neither as it was nor in other letters, nor a figure."""
    assert MARK not in output.lower()
    assert not re.search(r"771[,.]?937[,.]?155", output)


def objects(run: FlowRun) -> list[dict[str, Any]]:
    """The lines of a run whose every line is a JSON object."""
    found = [json.loads(text) for text in run.output().splitlines()]
    for each in found:
        fields = set(EVENTS[each["event"]].fields)
        assert OF_EVERY_LINE - {"process"} <= each.keys() <= OF_EVERY_LINE | fields
    return found


def named(found: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [each for each in found if each["event"] == event]


def test_a_run_says_all_and_never_a_value(marked: Path, home: Path) -> None:
    run = FlowRun(marked, home, recovery=True, settings={"C360_LOG_FORMAT": "json", "C360_LOG_LEVEL": "debug"})
    run.finish()
    assert_no_value(run.output())
    found = objects(run)
    names = Counter(each["event"] for each in found)
    assert [names[each] for each in ("run_started", "state_new", "metrics_served", "run_ended")] == [1, 1, 1, 1]
    assert {each["partition"] for each in named(found, "partition_opened")} == {
        f"{topic_name(topic)}/0" for topic in ("billing", "product", "support")
    }
    assert found[-1]["event"] == "run_ended"
    assert found[-1]["how"] == "input_ended"
    assert names["state_kept"] >= 1

    scores = [json.loads(line) for line in next((run.log_dir / "c360.risk.scores.v1").iterdir()).open()]
    assert {each["score_id"] for each in named(found, "score_emitted")} == {each["score_id"] for each in scores}
    ticks = named(found, "tick_scored")
    as_ofs = {each["as_of"] for each in scores if each["trigger"] == "tick"}
    scored = [each["as_of"] for each in ticks if each["accounts"]]
    assert scored == sorted(as_ofs), "one line a tick, with the as-of of its scores"
    assert sum(sum(each["tiers"].values()) for each in ticks) == sum(each["trigger"] == "tick" for each in scores)
    assert {each["model_version"] for each in ticks} >= {each["model_version"] for each in scores}

    refused = sum(each["records"] for each in named(found, "records_refused"))
    assert refused == found[-1]["dead_letters"] == 7 * ACCOUNTS * DAYS
    assert all(sum(each["reasons"].values()) == each["records"] for each in named(found, "records_refused"))
    for name in ("refused", "duplicates"):
        assert 0 < sum(each[name] for each in ticks) <= found[-1]["dead_letters"]


@contextmanager
def half_at_first(run: FlowRun) -> Iterator[None]:
    """The first half of the product events; the others once this is left."""
    product = run.log_dir / topic_name("product") / "0.jsonl"
    lines = product.read_text().splitlines(keepends=True)
    product.unlink()  # it is a link
    product.write_text("".join(lines[: len(lines) // 2]))
    yield
    with product.open("a") as file:
        file.writelines(lines[len(lines) // 2 :])


@pytest.mark.slow
def test_a_cluster_has_one_line_a_tick_and_says_where_it_resumes(marked: Path, home: Path) -> None:
    settings = {"C360_LOG_FORMAT": "json", "C360_IDLE_SECONDS": "3600"}
    run = FlowRun(marked, home, processes=2, recovery=True, until_end=False, settings=settings)
    with half_at_first(run), started(run):
        wait_until(lambda: all(f'"event": "{name}"' in run.output() for name in ("tick_scored", "state_kept")), run)
    found = objects(run)
    assert (len(named(found, "state_new")), len(named(found, "state_resumed"))) == (1, 0)
    assert not any("offset" in each for each in named(found, "partition_opened"))
    run.until_end = True
    run.finish()
    again = objects(run)[len(found) :]
    assert (len(named(again, "state_new")), len(named(again, "state_resumed"))) == (0, 1)
    assert all(each["offset"] > 0 for each in named(again, "partition_opened"))
    assert sorted(each["process"] for each in named(again, "run_ended")) == [0, 1]
    ticks = named(again, "tick_scored")
    assert len(ticks) > 3
    assert [each["as_of"] for each in ticks] == sorted({each["as_of"] for each in ticks}), "one line a tick"
    assert len({each["process"] for each in ticks}) == 1
    assert all(each["accounts"] == ACCOUNTS == sum(each["tiers"].values()) for each in ticks)
    assert 0 < sum(each["read"] for each in ticks) <= sum(each["read"] for each in named(again, "run_ended"))
    assert_no_value(run.output())


@pytest.mark.slow
def test_an_outage_and_a_stop_are_told_and_no_password(marked: Path, home: Path) -> None:
    with ClickHouseFront(home / "server", password=PASSWORD) as front:
        with closing(connect(front.dsn())) as tables:
            tables.migrate()
        settings = {"C360_LOG_LEVEL": "debug", "C360_CLICKHOUSE_DSN": front.dsn(), "C360_IDLE_SECONDS": "3600"}
        run = FlowRun(marked, home, recovery=True, until_end=False, settings=settings)
        with ExitStack() as held:
            with half_at_first(run):
                process = held.enter_context(started(run))
                wait_until(lambda: run.risk_bytes() > 0, run)
                front.stop()
            wait_until(lambda: "outage_began" in events_in(run.output()), run)
            front.start()
            wait_until(lambda: "outage_ended" in events_in(run.output()), run)
            process.send_signal(signal.SIGTERM)
            assert ends(process, run) == 0, run.output()
    assert_no_value(run.output())
    assert other_lines(run.output()) == []
    said = events_in(run.output())
    assert said.index("outage_began") < said.index("outage_ended") < said.index("stop_asked") < said.index("run_ended")
    (stopped,) = [line for line in run.output().splitlines() if event_of(line) == "stop_asked"]
    assert stopped.endswith("process 0: SIGTERM: stops within 4 s")
