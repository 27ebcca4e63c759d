"""ADWIN on log loss: one label an account and horizon, state as plain data."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.errors import StateError
from c360_stream.learning.concept import Change, ConceptDrift
from c360_stream.snapshot import pack, unpack

HORIZON, STRIDE = 60, 7


def feed(
    detector: ConceptDrift, rng: np.random.Generator, weeks: range, rate: float, model: str = "m"
) -> list[tuple[int, Change]]:
    found = []
    for week in weeks:
        ids = [f"a{number}" for number in range(1500)]
        churned = (rng.random(1500) < rate).tolist()
        change = detector.update(model, week * STRIDE, ids, churned, [0.08] * 1500)
        found += [(week, change)] if change else []
    return found


def test_more_churn_than_predicted_is_found_and_less_is_told_apart() -> None:
    rng = np.random.default_rng(1)
    detector = ConceptDrift(HORIZON, STRIDE)
    assert feed(detector, rng, range(30), 0.08) == []
    [(week, change), *_] = feed(detector, rng, range(30, 60), 0.20)
    assert week < 45
    assert change.after > 1.2 * change.before
    better = feed(detector, rng, range(60, 120), 0.02)
    assert better
    assert better[-1][1].after < better[-1][1].before


def test_another_model_starts_afresh() -> None:
    rng = np.random.default_rng(2)
    detector = ConceptDrift(HORIZON, STRIDE)
    feed(detector, rng, range(30), 0.02)
    assert feed(detector, rng, range(30, 60), 0.25, model="other") == []


def test_an_account_gives_one_label_a_horizon() -> None:
    detector = ConceptDrift(HORIZON, STRIDE)
    for week in range(18):
        detector.update("m", week * STRIDE, [f"a{number}" for number in range(50)], [False] * 50, [0.1] * 50)
    assert detector._adwin.width == 50 * 2


def test_a_restored_detector_goes_on_alike() -> None:
    rng = np.random.default_rng(3)
    detector = ConceptDrift(HORIZON, STRIDE)
    feed(detector, rng, range(20), 0.05)
    again = ConceptDrift(HORIZON, STRIDE)
    again.restore(unpack("monitor", pack("monitor", detector.state())))
    rest = np.random.default_rng(4), np.random.default_rng(4)
    assert feed(detector, rest[0], range(20, 60), 0.15) == feed(again, rest[1], range(20, 60), 0.15) != []
    assert detector.state() == again.state()


def test_the_state_of_another_river_is_refused() -> None:
    detector = ConceptDrift(HORIZON, STRIDE)
    with pytest.raises(StateError, match=r"River 0\.1"):
        detector.restore(detector.state() | {"river": "0.1"})
