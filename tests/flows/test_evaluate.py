"""What `c360 evaluate` judges is what the flow says: the same tick scores, alarms and metrics of the same log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from c360_stream.contracts.records import TIERS
from c360_stream.settings import Settings, load_settings
from c360_stream.tools.evaluate.contestant import Contestant
from c360_stream.tools.evaluate.log_replay import LogReplay
from tests.reference.check import Tables
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.tables import query_elsewhere

pytestmark = pytest.mark.slow
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Score = tuple[float, str, str, str]


@pytest.fixture(scope="module")
def contestant_and_scores(undisturbed: FlowRun) -> tuple[Contestant, dict[tuple[str, str], Score]]:
    """A contestant with the flow's settings but for the number of shards, and its tick scores."""
    settings = flow_settings(undisturbed)
    contestant = Contestant("default", settings)
    scores: dict[tuple[str, str], Score] = {}
    for tick in LogReplay(settings).ticks():
        as_of = (EPOCH + timedelta(days=tick.day)).isoformat()
        for part in contestant.work(tick).scored:
            rows = part.scores
            for account, risk, tier in zip(rows.ids, rows.risk.tolist(), rows.tier.tolist(), strict=True):
                scores[account, as_of] = (risk, TIERS[tier], rows.version.model_name, rows.version.model_version)
    return contestant, scores


def flow_settings(run: FlowRun) -> Settings:
    names: dict[str, Any] = {name.removeprefix("C360_").lower(): value for name, value in SETTINGS.items()}
    return load_settings(
        log_dir=run.log_dir,
        kafka_brokers="",
        live=False,
        **{**names, "shards": 3, "challengers": json.loads(names["challengers"])},
    )


def test_the_tick_scores_are_equal_to_the_bit(
    contestant_and_scores: tuple[Contestant, dict[tuple[str, str], Score]], tables: Tables
) -> None:
    _, scores = contestant_and_scores
    stored = {
        (row["account_id"], row["as_of"]): (row["risk"], row["tier"], row["model_name"], row["model_version"])
        for row in tables["risk_scores"]
        if row["trigger"] == "tick"
    }
    assert len(stored) > 1000
    assert scores == stored


def test_so_are_alarms_and_metrics(
    contestant_and_scores: tuple[Contestant, dict[tuple[str, str], Score]], undisturbed: FlowRun
) -> None:
    contestant, _ = contestant_and_scores
    alarms, metrics = query_elsewhere(
        undisturbed.dsn, "SELECT alarm_id FROM drift_alarms FINAL", "SELECT * FROM model_metrics FINAL"
    )
    assert sorted(each.alarm_id for each in contestant.history.alarms) == sorted(row["alarm_id"] for row in alarms)
    stored = {(row["as_of"], row["model_name"], row["segment"], row["metric"]): row["value"] for row in metrics}
    told = {
        ((EPOCH + timedelta(microseconds=row.as_of_us)).isoformat(), row.model_name, row.segment, row.metric): row.value
        for row in contestant.history.metrics
    }
    assert len(told) > 50
    assert told == stored
