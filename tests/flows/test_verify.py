"""Features rebuilt from a messy log equal the stored ones bit for bit, whatever the account."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from c360_stream.cli.verify.history import Moment, features_at, read_history
from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.contracts.events import time_us
from c360_stream.contracts.records import Trigger
from c360_stream.features.definitions import FEATURES
from c360_stream.settings import Settings, load_settings
from tests.flows.conftest import SEED
from tests.reference.check import Tables
from tests.reference.flow_run import FlowRun

pytestmark = pytest.mark.slow
SAMPLE = 40


@pytest.fixture(scope="module")
def settings(undisturbed: FlowRun) -> Settings:
    return load_settings(log_dir=undisturbed.log_dir)


@pytest.fixture(scope="module")
def transport(settings: Settings) -> Iterator[LogDirTransport]:
    with closing(LogDirTransport(settings.log_dir)) as transport:
        yield transport


def chosen(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return random.Random(SEED).sample(sorted(rows, key=lambda row: (row["account_id"], row["as_of"])), SAMPLE)


def rebuilt(
    settings: Settings, transport: LogDirTransport, tables: Tables, row: dict[str, Any], trigger: Trigger
) -> dict[str, float]:
    """Feature -> value, from the log."""
    moment = Moment(row["account_id"], time_us(datetime.fromisoformat(row["as_of"])), trigger)

    def refused(topic: str, partition: int) -> set[int]:
        place = (topic, partition)
        return {one["offset"] for one in tables["dead_letters"] if (one["topic"], one["partition"]) == place}

    history = read_history(settings, transport, moment, refused)
    assert not history.late or trigger == "event", "the mess stays within the lateness"
    return dict(zip(FEATURES, features_at(settings, moment, history.in_time).tolist(), strict=True))


def test_tick_features(settings: Settings, transport: LogDirTransport, tables: Tables) -> None:
    for row in chosen(tables["account_features"]):
        found = rebuilt(settings, transport, tables, row, "tick")
        stored = {name: np.nan if row[name] is None else row[name] for name in FEATURES}
        np.testing.assert_array_equal(list(found.values()), list(stored.values()), str(row))
