"""Verify tells a score that follows from the log from one that does not, and says why."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c360_stream.cli.verify import history
from c360_stream.cli.verify.history import Moment, features_at, read_history
from c360_stream.cli.verify.rebuild import verify
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import TABLES
from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE, time_us
from c360_stream.contracts.records import Trigger, score_id
from c360_stream.errors import ConfigurationError, StateError
from c360_stream.features import encoding
from c360_stream.features.definitions import FEATURE_VERSION, FEATURES, INDEX
from c360_stream.features.plausibility import AHEAD, AHEAD_OF_CLOCK
from c360_stream.models.prior import prior_version
from c360_stream.scoring.reasons import NO_TOPIC
from c360_stream.settings import Settings, load_settings

Columns = dict[str, Any]

START = datetime(2024, 3, 1, tzinfo=UTC)
TICK = START + timedelta(days=3)
TICK_US = time_us(TICK)
VERSION = prior_version(TICK_US // 86_400_000_000, 0.08, {})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(log_dir=tmp_path / "log", clickhouse_dsn=f"chdb://{tmp_path}/tables")


def event(number: int, hours: float, account: str = "a", **fields: Any) -> dict[str, Any]:
    at = (START + timedelta(hours=hours)).isoformat()
    known = {"event_id": f"e{number}", "account_id": account, "event_type": "task_created", "user_id": f"u{number % 3}"}
    return {**known, "occurred_at": at, **fields}


USE = [event(number, 6 * number) for number in range(12)]


def write(settings: Settings, events: Iterable[dict[str, Any]], kind: str = "product") -> None:
    folder = settings.log_dir / f"c360.{kind}.events.v1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))


def store_score(tables: TableStore, settings: Settings, change: float = 0.0, trigger: Trigger = "tick") -> None:
    """Store the tick's score as the flow would from the log as it is now, or another risk."""
    moment = Moment("a", TICK_US, trigger)
    found = read_history(settings, LogDirTransport(settings.log_dir), moment, lambda *_: ())
    features = features_at(settings, moment, found.in_time)
    risk = float(VERSION.score(features[None, :], TICK_US).risk[0])
    times = np.array([TICK_US])
    names: Columns = {"model_name": [VERSION.model_name], "model_version": [VERSION.model_version]}
    numbers: Columns = {"feature_version": [FEATURE_VERSION]}
    key: Columns = {"account_id": ["a"], "as_of": times}
    tables.insert(
        "account_features", key | {name: np.array([value]) for name, value in zip(FEATURES, features, strict=True)}
    )
    tables.insert("model_versions", {**names, **numbers, "as_of": times, "parameters": [VERSION.to_json()]})
    unknown: Columns = {each.name: [None] for each in TABLES["risk_scores"] if each.nullable}
    score: Columns = {"score_id": [score_id("a", TICK_US, trigger)], "produced_at": times, "risk": [risk + change]}
    rest: Columns = {"horizon_days": [60], "tier": ["low"], "trigger": [trigger]}
    nothing: Columns = {name: [[]] for name in ("moved", "risk_curve")}
    told: Columns = {
        "reasons": [[("model", None, 0.4, NO_TOPIC), ("nps_score", None, 0.3, "No NPS answer so far")]],
        "mitigations": [[("avg_dau_7d", features[INDEX["avg_dau_7d"]], -0.2, "Many active users")]],
    }
    nothing |= told | {"explained_by": ["contributions"]}
    tables.insert("risk_scores", {**key, **score, **rest, **nothing, **names, **numbers, **unknown})


def test_equal(chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    write(settings, [*USE, event(50, 80), event(51, 1, "b")])
    store_score(chdb_store, settings)
    assert verify(settings, "a", None)
    shown = capsys.readouterr().out
    assert "a as of 2024-03-04T00:00:00.000Z, daily tick" in shown
    assert "equal: all 21 features and the risk, bit for bit." in shown
    assert all(name in shown for name in FEATURES)
    told = (
        f"Reasons: topics that raise the risk {NO_TOPIC} No NPS answer so far Mitigations: topics that lower the risk"
    )
    assert f"{told} Many active users risk rebuilt" in " ".join(shown.split())


def test_the_table_tells_what_raises_the_risk_from_what_lowers_it(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last event is a day old, which lowers the risk, and nothing raises it: the number alone has a sign."""
    write(settings, USE)
    store_score(chdb_store, settings)
    assert verify(settings, "a", None)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    at = {line.strip(): number for number, line in enumerate(shown.splitlines())}
    lowered = [line for line in shown.splitlines() if re.search(r" -\d\.\d{3}  [a-z]", line)]
    assert lowered
    assert all(at["lowers the risk"] < at[line.strip()] < at["no effect"] for line in lowered)
    assert "…" not in shown


def test_as_json_it_is_one_object_named_as_a_score(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(settings, USE)
    store_score(chdb_store, settings)
    assert verify(settings, "a", None, as_json=True)
    shown = capsys.readouterr()
    found = json.loads(shown.out, parse_constant=pytest.fail)
    assert (found["account_id"], found["as_of"], found["trigger"]) == ("a", "2024-03-04T00:00:00.000Z", "tick")
    assert found["equal"] is True
    assert found["risk"] == found["risk_rebuilt"]
    features = {each["feature"]: each for each in found["features"]}
    assert tuple(features) == FEATURES
    assert features["nps_score"]["value_rebuilt"] is None, "NaN is no JSON"
    log_odds = found["base_log_odds"] + sum(each["contribution"] for each in features.values())
    assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(found["risk"])
    assert [each["text"] for each in found["mitigations"]] == ["Many active users"]
    assert found["reasons"][1] == {
        "feature": "nps_score", "value": None, "contribution": 0.3, "text": "No NPS answer so far",
    }  # fmt: skip
    write(settings, USE[:-1])
    assert not verify(settings, "a", None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] is False
    assert not all(each["equal"] for each in found["features"])
    assert shown.err == ""


def test_between_ticks_the_features_of_reasons_and_mitigations_are_compared(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(settings, USE)
    store_score(chdb_store, settings, trigger="event")
    assert verify(settings, "a", TICK)
    assert "equal: the features of its reasons and mitigations and the risk" in " ".join(
        capsys.readouterr().out.split()
    )
    write(settings, USE[:4])
    assert not verify(settings, "a", TICK)
    assert "differs" in next(line for line in capsys.readouterr().out.splitlines() if "avg_dau_7d" in line)


def test_a_changed_log_or_risk_is_not_equal(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(settings, USE)
    store_score(chdb_store, settings)
    write(settings, USE[:-1])
    assert not verify(settings, "a", TICK)
    assert "the log or the tables were changed" in " ".join(capsys.readouterr().out.split())
    write(settings, USE)
    store_score(chdb_store, settings, change=1e-15)
    assert not verify(settings, "a", TICK)
    assert "NOT equal: the risk differs though the features agree" in " ".join(capsys.readouterr().out.split())


def test_late_events_are_told_apart(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    late = [event(90, 60.5, user_id="other"), event(91, 70, user_id="new")]
    passing = event(50, 74, "b")
    write(settings, [*USE, passing])
    store_score(chdb_store, settings)
    write(settings, [*USE, passing, *late])
    assert verify(settings, "a", TICK), "the score did not count them"
    assert "2 event(s) before that time came late, after the score" in " ".join(capsys.readouterr().out.split())

    write(settings, [*USE, *late])
    store_score(chdb_store, settings)
    write(settings, [*USE, passing, *late])
    assert verify(settings, "a", TICK), "the score counted them: they were read at the same time"
    assert "came late, which the score counted, too" in " ".join(capsys.readouterr().out.split())

    write(settings, [*USE, late[0]])
    store_score(chdb_store, settings)
    write(settings, [*USE, passing, *late])
    assert not verify(settings, "a", TICK)
    assert "a score counts only those that had arrived" in " ".join(capsys.readouterr().out.split())


def test_heartbeats_say_nothing_about_time(
    chdb_store: TableStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the flow, whose marks they do not move."""
    beat = event(50, 74, HEARTBEAT_ACCOUNT, event_type=HEARTBEAT_TYPE)
    write(settings, [*USE, event(91, 70)])
    store_score(chdb_store, settings)
    write(settings, [*USE, beat, event(91, 70)])
    assert verify(settings, "a", TICK)
    assert "came late" not in capsys.readouterr().out


def test_times_that_the_flow_refused_do_not_count(chdb_store: TableStore, settings: Settings) -> None:
    write(settings, USE)
    store_score(chdb_store, settings)
    write(settings, [*USE, event(98, 71), event(99, 24 * 900, "b"), *USE[:2]])
    assert not verify(settings, "a", TICK), "event 98 is one more, as far as the log alone says"
    refusals: Columns = {"topic": ["c360.product.events.v1"] * 2, "partition": [0, 0], "offset": [12, 13]}
    why: Columns = {"stage": ["decode"] * 2, "exception_class": ["Refused"] * 2}
    record: Columns = {"key": [None] * 2, "value": [b""] * 2, "headers": [[]] * 2, "refused_at": np.array([0, 0])}
    chdb_store.insert("dead_letters", refusals | why | record | {"exception_message": [AHEAD, AHEAD_OF_CLOCK]})
    assert verify(settings, "a", TICK)


def test_a_live_run_may_have_believed_what_a_replay_would_refuse(settings: Settings) -> None:
    """It had a clock. What it refused has a dead letter."""
    others = [event(100 + number, 1 + number / 10, f"b{number % 10}") for number in range(40)]
    write(settings, [*others[:20], event(1, 60), *others[20:], event(2, 70)])
    moment, transport = Moment("a", TICK_US, "tick"), LogDirTransport(settings.log_dir)
    assert read_history(settings, transport, moment, lambda *_: ()).events == 2
    assert read_history(settings, transport, moment, lambda *_: {20}).events == 1


def test_more_accounts_than_are_remembered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_REMEMBERED_MAX", 3)
    monkeypatch.setattr(history, "READ_RECORDS_MAX", 10)
    write(settings, [event(number, number / 10, f"a{number % 17}") for number in range(300)])
    moment, transport = Moment("a5", TICK_US, "tick"), LogDirTransport(settings.log_dir)
    found = read_history(settings, transport, moment, lambda *_: ())
    assert (found.events, found.late_events) == (len(range(5, 300, 17)), 0)


def test_scores_that_are_not_there(chdb_store: TableStore, settings: Settings) -> None:
    write(settings, USE)
    store_score(chdb_store, settings)
    with pytest.raises(ConfigurationError, match="account b has no score in chdb:"):
        verify(settings, "b", None)
    with pytest.raises(ConfigurationError, match=r"the nearest: --as-of 2024-03-04T00:00:00\.000Z"):
        verify(settings, "a", TICK + timedelta(microseconds=1))
    chdb_store.command("TRUNCATE TABLE model_versions")
    with pytest.raises(StateError, match="model_versions has no prior-rule"):
        verify(settings, "a", TICK)


def test_no_tables_are_made_by_looking(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there are no tables"):
        verify(settings, "a", None)
    assert not (tmp_path / "tables").exists()


def test_escapes_and_rubbish_in_the_log(settings: Settings) -> None:
    name = "Ülla/株"
    folder = settings.log_dir / "c360.product.events.v1"
    folder.mkdir(parents=True)
    plain, escaped = event(1, 1, name), event(2, 2, name)
    lines = [
        json.dumps(plain, ensure_ascii=False).encode(),
        json.dumps(escaped).replace("/", "\\/").encode(),
        json.dumps(plain, ensure_ascii=False).encode(),
        json.dumps(event(3, 3, f"not {name}"), ensure_ascii=False).encode(),
        name.encode() + b'{"',
        b"\xff" + name.encode(),
    ]
    (folder / "0.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    moment = Moment(name, TICK_US, "tick")
    found = read_history(settings, LogDirTransport(settings.log_dir), moment, lambda *_: ())
    assert found.events == 3
    features = features_at(settings, moment, found.in_time)
    assert features[INDEX["avg_dau_30d"]] == 2 / 30
    assert features[INDEX["account_age_days"]] == (71 / 24)
