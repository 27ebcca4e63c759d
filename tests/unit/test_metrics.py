"""The rules of metric names, and the page that a scraper reads."""

from __future__ import annotations

import math
import time

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from c360_stream import metrics
from c360_stream.metrics import REGISTRY
from c360_stream.operators.ingest import begin_topic

FAMILIES = list(REGISTRY.collect())
ALIEN_UNITS = {"ms", "milliseconds", "minutes", "hours", "days", "kb", "mb", "kilobytes", "megabytes", "percent", "us"}
BOUNDED_LABELS = (
    "topic partition stage reason shard trigger tier kind severity outcome model_name step sink".split()  # noqa: SIM905
)


def own_metrics() -> dict[str, tuple[str, ...]]:
    """Name of each metric object in the module, with the names of its labels."""
    return {
        name: value._labelnames
        for name, value in vars(metrics).items()
        if name.isupper() and hasattr(value, "_labelnames")
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))
def test_names_and_help(family: Metric) -> None:
    assert family.name.startswith("c360_")
    assert not ALIEN_UNITS & set(family.name.split("_"))
    assert len(family.documentation) > 20
    if family.type == "histogram":
        assert family.name.endswith(("_seconds", "_bytes"))


def test_no_label_grows_with_the_accounts() -> None:
    labels = own_metrics()
    assert len(labels) > 20
    assert {label for names in labels.values() for label in names} <= set(BOUNDED_LABELS)


def test_the_page_parses_and_counters_end_in_total() -> None:
    metrics.EVENTS_READ.labels("c360.product.events.v1").inc(3)
    families = {family.name: family for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())}
    counters = [sample.name for family in families.values() if family.type == "counter" for sample in family.samples]
    assert "c360_events_read_total" in counters
    assert all(name.endswith("_total") for name in counters)
    assert not [name for name in families if name.endswith("_created")]


def test_counters_with_known_labels_begin_at_0() -> None:
    """A first count that is also the first sample is no increase."""
    begin_topic("begun")
    for name, labels in (
        ("c360_events_read_total", {"topic": "begun"}),
        ("c360_events_accepted_total", {"topic": "begun"}),
        ("c360_heartbeats_read_total", {"topic": "begun"}),
        ("c360_dead_letters_total", {"topic": "begun", "stage": "size"}),
        ("c360_dead_letters_total", {"topic": "begun", "stage": "decode"}),
    ):
        assert REGISTRY.get_sample_value(name, labels) == 0
    for name, labels in (
        ("c360_scores_emitted_total", {"trigger": "tick", "tier": "critical"}),
        ("c360_alarms_raised_total", {"kind": "freshness", "severity": "critical"}),
        ("c360_examples_learnt_total", {"outcome": "stayed"}),
    ):
        assert REGISTRY.get_sample_value(name, labels) is not None


def test_the_watermark_lag_follows_the_clock_and_ignores_the_end_of_input() -> None:
    metrics.set_watermark(time.time() - 100)
    metrics.set_watermark(math.inf)
    lag_seconds = REGISTRY.get_sample_value("c360_watermark_lag_seconds")
    assert lag_seconds is not None
    assert lag_seconds >= 100
    assert math.isfinite(lag_seconds)
