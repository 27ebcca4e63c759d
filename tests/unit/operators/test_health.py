"""Whether the flow moves, as its steps tell."""

from __future__ import annotations

import pytest

from c360_stream.metrics import REGISTRY
from c360_stream.operators.health import STALL_SECONDS_MAX, Health
from c360_stream.operators.run_context import RunContext
from tests.unit.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock=clock)


def test_a_flow_that_has_ended_is_not_stuck(health: Health, clock: Clock) -> None:
    health.sources_opened()
    health.progress()
    health.stopped()
    clock.now += 10 * STALL_SECONDS_MAX
    assert not health.unlive_reason()
    assert health.unready_reason() == "the flow is stopped"


def test_a_flow_that_cannot_start_says_what_it_waits_for(health: Health) -> None:
    health.waiting("the tables are away")
    assert health.unready_reason() == "the tables are away"
    health.sources_opened()
    assert health.unready_reason() == "the tables are away"
    health.stopped()
    assert health.unready_reason() == "the flow is stopped"


def test_a_metric_says_what_readyz_says(health: Health) -> None:
    RunContext(health).show()
    assert REGISTRY.get_sample_value("c360_ready") == 0
    health.sources_opened()
    health.progress()
    assert REGISTRY.get_sample_value("c360_ready") == 1
    health.waiting("the broker is away")
    assert REGISTRY.get_sample_value("c360_ready") == 0
