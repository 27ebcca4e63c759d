"""Scores are a function of (features, version): same bits in any company, and contributions add up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURE_VERSION, FEATURES
from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.models.churn_model import ChurnModel
from c360_stream.models.prior import prior_version
from c360_stream.models.version import ModelVersion
from c360_stream.models.version_json import version_from_json
from tests.unit.learning.rows import DAY_US, feature_rows, outcomes

TICK = 20_000
AS_OF = TICK * DAY_US


def learnt(exposures: dict[int, float]) -> ModelVersion:
    model = ChurnModel()
    rows = feature_rows(900, seed=1)
    model.learn(rows, outcomes(rows, seed=1), np.full(900, AS_OF - 70 * DAY_US))
    for day, share in exposures.items():
        model.expose(day, share)
    return model.version(TICK)


VERSIONS = [learnt({}), learnt({TICK - 1: 0.0, TICK - 9: 0.37}), prior_version(TICK, 0.08, {TICK - 2: 0.5})]
versions = st.sampled_from(VERSIONS)
values = st.one_of(st.just(np.nan), st.floats(-1e9, 1e9), st.integers(0, 60).map(float), st.floats(0, 5))
single_rows = st.lists(values, min_size=len(FEATURES), max_size=len(FEATURES)).map(np.array)


@settings(deadline=None, max_examples=60)
@given(versions, single_rows, st.integers(0, 2000), st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_bits_alone_and_among_many(
    version: ModelVersion, row: np.ndarray, place: int, seed: int
) -> None:
    many = feature_rows(2001 + seed % 9, seed=2)
    many[place] = row
    alone = version.score(row[None, :], AS_OF)
    layouts = [many, np.asfortranarray(many), np.repeat(many, 2, axis=0)[::2], np.tile(many, 2)[:, : len(FEATURES)]]
    for layout in layouts:
        scored = version.score(layout, AS_OF)
        assert scored.risk[place] == alone.risk[0]
        assert scored.contributions[place].tobytes() == alone.contributions[0].tobytes()
    backwards = version.score(many[::-1], np.full(len(many), AS_OF))
    assert backwards.risk[::-1][place] == alone.risk[0]


@settings(deadline=None, max_examples=100)
@given(versions, single_rows)
def test_contributions_add_up_to_the_log_odds(version: ModelVersion, row: np.ndarray) -> None:
    risk, contributions, base = version.score(row[None, :], AS_OF)
    assert 0 < risk[0] < 1
    assert base + contributions[0].sum() == pytest.approx(np.log(risk[0]) - np.log1p(-risk[0]), abs=1e-9)


@given(st.floats(-200, 200), st.floats(-200, 200), st.floats(-14, 14))
def test_contributions_add_up_even_out_of_bounds(first: float, second: float, base: float) -> None:
    curves = {name: Curve((0.0,), (push,), 0.0) for name, push in zip(FEATURES, (first, second), strict=False)}
    risk, contributions, _ = AdditiveVersion("m", 1, base, curves).score(np.zeros((1, len(FEATURES))), 0)
    assert 0 < risk[0] < 1
    assert base + contributions[0].sum() == pytest.approx(np.log(risk[0]) - np.log1p(-risk[0]), abs=1e-9)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.model_name)
def test_json_gives_the_version_back_bit_for_bit(version: ModelVersion) -> None:
    back = version_from_json(version.to_json())
    rows = feature_rows(500, seed=3)
    assert back == version
    assert back.model_version == version.model_version
    assert back.score(rows, AS_OF).risk.tobytes() == version.score(rows, AS_OF).risk.tobytes()
    assert version.model_version.startswith("2024-10-04-")


def test_equal_parameters_have_equal_names_and_others_do_not() -> None:
    assert len({version.model_version for version in (*VERSIONS, learnt({}))}) == len(VERSIONS)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", f'{{"feature_version":{FEATURE_VERSION},"curves":[]}}'])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(StateError, match="not a model version"):
        version_from_json(text)
    other = json.loads(VERSIONS[0].to_json()) | {"feature_version": FEATURE_VERSION + 1}
    with pytest.raises(StateError, match=f"feature version {FEATURE_VERSION + 1}"):
        version_from_json(json.dumps(other))


def test_a_version_from_before_curves_can_still_score() -> None:
    kept = json.loads(VERSIONS[0].to_json())
    older = version_from_json(json.dumps({name: kept[name] for name in kept if name not in ("curve", "calibrated")}))
    rows = feature_rows(50, seed=3)
    assert older.score(rows, AS_OF).risk.tobytes() == VERSIONS[0].score(rows, AS_OF).risk.tobytes()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 500), max_size=8))
def test_learning_is_a_function_of_the_sequence_of_examples(cuts: list[int]) -> None:
    """To the bit for the same calls (a tick is one) however arrays lie in memory; rounding apart for others."""
    rows = feature_rows(500, seed=4)
    churned, as_of = outcomes(rows, seed=4), AS_OF - np.arange(500)[::-1] * DAY_US
    whole, cut, other = ChurnModel(), ChurnModel(), ChurnModel()
    for model in (whole, cut, other):
        model.expose(TICK - 100, 0.1)
    whole.learn(rows, churned, as_of)
    for part in np.split(np.arange(500), sorted(cuts)):
        cut.learn(np.asfortranarray(rows[part]), churned[part], as_of[part])
        other.learn(np.repeat(rows[part], 2, axis=0)[::2], churned[part].copy(), as_of[part])
    assert cut.version(TICK) == other.version(TICK)
    risks = [model.version(TICK).score(rows, AS_OF).risk for model in (whole, cut)]
    np.testing.assert_allclose(risks[0], risks[1], rtol=1e-9)
