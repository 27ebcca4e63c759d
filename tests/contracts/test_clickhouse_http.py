"""What a ClickHouse server does to its client on the way: it goes away, answers late or not at all."""

from __future__ import annotations

import logging
import random
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.tables import arrow_table
from c360_stream.errors import TransportError
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.served import MONTHS, PASSWORD, PATIENCE_SECONDS, block, must_not_wait, outcomes, store_of, stored

pytestmark = pytest.mark.slow
# Shorter than the late answers of these tests, and longer than any other.
IMPATIENT = "?send_receive_timeout=3"


@pytest.mark.parametrize("kind", ["drop-before", "drop-after"])
@pytest.mark.parametrize("times", [1, 4])
def test_a_dropped_connection_stores_each_row_once(front: ClickHouseFront, kind: str, times: int) -> None:
    before = front.state()
    front.fault(kind, times=times)
    with store_of(front) as store:
        assert store.insert("account_features", block("a"), token="1:0:1") == 30 * MONTHS
        assert stored(store) == 30 * MONTHS
    after = front.state()
    assert after["inserts_received"] - before["inserts_received"] == times + 1
    assert after["inserts_executed"] - before["inserts_executed"] == (1 if kind == "drop-before" else times + 1)
    # A token is not settled when an asynchronous insert returns, which newer servers do by default.
    assert after["inserted_with"]["insert_deduplication_token"] == "1:0:1"
    assert after["inserted_with"]["async_insert"] == "0"


def test_an_answer_that_comes_too_late_stores_each_row_once(front: ClickHouseFront) -> None:
    front.fault("late", seconds=2 * 3)
    with store_of(front, IMPATIENT) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS


def test_a_slow_answer_is_waited_for(front: ClickHouseFront) -> None:
    before = front.state()["inserts_received"]
    front.fault("late", seconds=1)
    with store_of(front, waiting=must_not_wait) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    assert front.state()["inserts_received"] == before + 1


def test_an_answer_that_breaks_off_is_asked_for_again(front: ClickHouseFront) -> None:
    front.fault("cut", times=2, queries=r"\s*SELECT number")
    with store_of(front) as store:
        rows = store.query("SELECT number FROM numbers(100000)")
    assert [row["number"] for row in rows] == list(range(100_000))


@pytest.mark.parametrize("statement", ["INSERT", "SELECT", "TRUNCATE"])
def test_what_a_stranger_answers_is_no_answer(
    front: ClickHouseFront, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with store_of(front) as store:
        front.fault("stranger", times=2, queries=rf"\s*{statement}\b")
        store.command("TRUNCATE TABLE account_features")
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    assert "no ClickHouse server that answered" in caplog.text
    assert "guest network" not in caplog.text


def test_a_stranger_that_stays_is_named(front: ClickHouseFront) -> None:
    with store_of(front, patience_seconds=1.0) as store:
        front.fault("stranger", times=100)
        with pytest.raises(TransportError, match=r"no ClickHouse server that answered.*C360_CLICKHOUSE_DSN"):
            store.insert("account_features", block("a"), token="1:0:1")


def test_rows_that_were_not_written_are_inserted_again(front: ClickHouseFront) -> None:
    front.fault("unwritten")
    with store_of(front) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
        front.fault("unwritten", times=2)
        with pytest.raises(TransportError, match="written 0 of 210 rows"):
            store.insert("account_features", block("b"), token="1:0:2")


class Crashes:
    """Kills a server while its client is at work, and starts it again once the client waits for it."""

    def __init__(self, front: ClickHouseFront) -> None:
        self._front = front
        self._timer: threading.Timer | None = None

    def after(self, seconds: float) -> None:
        """Kill so much later, in the background."""
        self._timer = threading.Timer(seconds, self._front.kill)
        self._timer.start()

    def over(self, reason: str = "") -> None:
        """Wait for the crash, and end it."""
        if self._timer is not None:
            self._timer.join()
        if not self._front.running:
            self._front.start()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_killed_at_any_moment_has_each_row_once(tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed)
    with ClickHouseFront(tmp_path / "db") as front:
        crashes = Crashes(front)
        with store_of(front, waiting=crashes.over) as store:
            store.migrate()
            for number in range(4):
                crashes.after(moment.uniform(0, 0.15))
                store.insert("account_features", block(str(number)), token=f"1:0:{number}")
                crashes.over()
            for number in range(4):  # a resumed run repeats what it is not sure of
                store.insert("account_features", block(str(number)), token=f"1:0:{number}")
            assert stored(store) == 4 * 30 * MONTHS


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_fails_in_a_long_run_each_row_is_stored_once(front: ClickHouseFront, seed: int) -> None:
    chance = random.Random(seed)
    faults: list[dict[str, Any]] = [
        {"kind": "drop-before"},
        {"kind": "drop-after"},
        {"kind": "refuse", "code": 202, "message": "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"},
        {"kind": "refuse", "code": 252, "message": "Too many parts. (TOO_MANY_PARTS)"},
    ]
    with store_of(front, waiting=lambda _: front.up()) as store:
        for number in range(10):
            for fault in chance.sample(faults, chance.randrange(3)):
                front.fault(**fault, times=chance.choice([1, 2]))
            if chance.random() < 0.2:
                front.down()
            # Equal tokens, and rows that are equal but for their names: neither mixes tables or batches up.
            for table, rows in (("account_features", block(str(number))), ("outcomes", outcomes(str(number)))):
                for _ in range(chance.choice([1, 1, 2])):
                    store.insert(table, rows, token=f"1:0:{number}")
        front.repair()
        assert stored(store) == 10 * 30 * MONTHS
        assert stored(store, "outcomes") == 10 * MONTHS
        for table in ("account_features", "outcomes"):
            (row,) = store.query(f"SELECT uniqExact(account_id, as_of) AS rows FROM {table}")
            assert row["rows"] == stored(store, table)


def test_a_token_counts_whatever_the_chunks(front: ClickHouseFront) -> None:
    rows = arrow_table("account_features", block("a", rows=1000))
    chunked = pa.concat_tables([rows.slice(start, 100) for start in range(0, rows.num_rows, 100)])
    with store_of(front) as store:
        for repeated in (rows, chunked, rows):
            store.insert_rows("account_features", repeated, token="1:0:1")
        assert stored(store) == rows.num_rows


def test_an_outage_is_ridden_out_and_spoken_of(front: ClickHouseFront, caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str] = []

    def waiting(reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 4:
            front.up()

    with store_of(front, waiting=waiting) as store, caplog.at_level(logging.WARNING, "c360_stream"):
        front.down()
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    place = f"clickhouse://c360:***@127.0.0.1:{front.port}/c360"
    assert set(reasons) == {f"{place} is away: [Errno 111] Connection refused"}
    began, ended = caplog.messages
    what = "insert into account_features: [Errno 111] Connection refused; check that "
    assert began.startswith(f"{place}: waiting for it: {what}")
    assert began.endswith("trying again for up to 120 s")
    assert ended.startswith(f"{place} answers again, after ")
    assert PASSWORD not in caplog.text


def test_an_outage_past_the_patience_is_named(front: ClickHouseFront) -> None:
    with store_of(front, patience_seconds=0.5) as store:
        front.down()
        with pytest.raises(TransportError) as refused:
            store.insert("account_features", block("a"), token="1:0:1")
        place = f"clickhouse://c360:***@127.0.0.1:{front.port}/c360"
        assert refused.value.what == (
            f"insert into account_features at {place}: [Errno 111] Connection refused (tried for 0.5 s)"
        )
        assert "check that the server runs" in refused.value.hint
        front.up()
        assert stored(store) == 0


class Stopped(Exception):  # noqa: N818
    """What a run that is asked to stop raises."""


def test_a_stop_ends_the_wait(front: ClickHouseFront) -> None:
    def stop(reason: str) -> None:
        raise Stopped(reason)

    with store_of(front, waiting=stop) as store:
        front.down()
        with pytest.raises(Stopped, match=r"is away: .*Connection refused"):
            store.insert("account_features", block("a"), token="1:0:1")


def test_a_server_that_is_away_at_the_start_is_not_waited_for(front: ClickHouseFront) -> None:
    front.down()
    with pytest.raises(TransportError, match=rf"^clickhouse://c360:\*\*\*@127.0.0.1:{front.port}/c360: .* refused"):
        connect(front.dsn(), patience_seconds=PATIENCE_SECONDS, waiting=must_not_wait)
