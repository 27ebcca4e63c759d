"""A replay of a messy log against the oracle: every row, none missing, none extra."""

from __future__ import annotations

import pytest

from tests.reference.check import SUBJECTS, Tables, differences
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth


@pytest.fixture(scope="module")
def found(undisturbed: FlowRun, world: WrittenLog, truth: Truth, tables: Tables) -> dict[str, list[str]]:
    return differences(world, undisturbed.log_dir, tables, truth)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_nothing_differs_from_the_oracle(found: dict[str, list[str]], subject: str) -> None:
    assert found[subject][:10] == []


def test_the_world_is_worth_replaying(world: WrittenLog, truth: Truth, tables: Tables) -> None:
    """Else the tests beside this one would hold for want of cases."""
    assert sum(map(len, world.rubbish.values())) > 40
    assert 100 < sum(outcome.churned for outcome in truth.outcomes.values()) < len(truth.outcomes) / 2
    returned = {row["account_id"] for row in tables["departures"]} & {
        row["account_id"] for row in tables["risk_active"]
    }
    assert returned, "accounts that left and came back"
    assert any(not row["active"] for row in tables["risk_latest"]), "accounts that left for good"
    for name in next(iter(truth.features.values())):
        assert len({row[name] for row in truth.features.values()}) > 1, name
    models = {row["model_name"] for row in tables["risk_scores"]}
    versions = {row["model_version"] for row in tables["risk_scores"]}
    assert len(models) > 1, "the prior rule, then the learnt model"
    assert len(versions) > 20
