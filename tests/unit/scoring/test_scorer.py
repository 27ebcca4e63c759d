"""Scoring a shard: with the version of the tick, stored for the outcome, with chains that events do not disturb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.emissions import IntradayRows, TickRows
from c360_stream.labels.ledger import KnownLabels
from c360_stream.learning.learner import LearnedTick
from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.models.churn_model import ChurnModel
from c360_stream.models.classifier import logit
from c360_stream.models.version import ModelVersion
from c360_stream.models.version_json import version_from_json
from c360_stream.monitoring.histograms import feature_histogram
from c360_stream.monitoring.lead import NEVER
from c360_stream.monitoring.tick_stats import MONDAY
from c360_stream.scoring.scored import FinalOutcomes, ScoredRows, ScoredTick, ScorerOutput, shard_stats
from c360_stream.scoring.scorer import ShardScorer, ShardVersion
from c360_stream.scoring.tiers import NO_TIER
from c360_stream.state.codec import pack, unpack
from tests.unit.features.deliveries import HORIZON_DAYS, tick_labels
from tests.unit.learning.companies import SCORING, SHARDS, as_bytes, company, learned_ticks, score
from tests.unit.learning.rows import feature_rows
from tests.unit.learning.rows import outcomes as drawn

Message = TickRows | IntradayRows | LearnedTick
DAY = 100


def scored_rows(shard: int) -> Iterator[ScoredRows]:
    for scored in score(shard):
        if not isinstance(scored, FinalOutcomes):
            yield scored.scores if isinstance(scored, ScoredTick) else scored


def ticks(shard: int) -> list[ScoredTick]:
    return [scored for scored in score(shard) if isinstance(scored, ScoredTick)]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_score_is_a_function_of_features_and_version(shard: int) -> None:
    """Invariant 3: what is stored with a score gives it again, bit for bit, row by row."""
    triggers = set()
    for rows in scored_rows(shard):
        triggers.add(rows.trigger)
        version = version_from_json(rows.version.to_json())
        for i, as_of_us in enumerate(rows.as_of_us.tolist()):
            again = version.score(rows.features[i : i + 1], as_of_us)
            assert again.risk.tobytes() == rows.risk[i : i + 1].tobytes()
            assert again.contributions.tobytes() == rows.contributions[i : i + 1].tobytes()
    assert triggers == {"tick", "event"}


@pytest.mark.parametrize("shard", range(SHARDS))
def test_outcomes_carry_the_risk_that_was_stored(shard: int) -> None:
    """Invariant 4: quality is measured on the score that was made before the label was known."""
    stored: dict[tuple[str, int], float] = {}
    compared = 0
    for tick in ticks(shard):
        assert set(tick.matured.as_of_day.tolist()) <= {tick.day - HORIZON_DAYS}
        for outcomes in (tick.outcomes, tick.matured):
            for account, as_of, risk in zip(outcomes.ids, outcomes.as_of_day.tolist(), outcomes.risk, strict=True):
                assert stored[account, as_of] == risk
                compared += 1
        stored |= {(account, tick.day): risk for account, risk in zip(tick.scores.ids, tick.scores.risk, strict=True)}
    assert compared > 100


@pytest.mark.parametrize("shard", range(SHARDS))
def test_ticks_are_a_chain_of_their_own(shard: int) -> None:
    """What a tick says came before is the tick before, however many scores lay between."""
    for before, after in pairwise(ticks(shard)):
        tier = dict(zip(before.scores.ids, before.scores.tier.tolist(), strict=True))
        risk = dict(zip(before.scores.ids, before.scores.risk.tolist(), strict=True))
        scores = after.scores
        assert scores.previous_tier.tolist() == [tier.get(account, NO_TIER) for account in scores.ids]
        expected = [risk.get(account, np.nan) for account in scores.ids]
        np.testing.assert_array_equal(scores.previous_risk, expected)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_monitors_count_the_accounts_whose_windows_are_filled(shard: int) -> None:
    """The others grow up: how many of them there are is growth, and no drift."""
    young = 0
    for tick in ticks(shard):
        stats, rows = shard_stats(tick).stats, tick.scores
        settled = rows.features[:, INDEX["account_age_days"]] >= 30
        counts, nulls = feature_histogram(rows.features[settled])
        np.testing.assert_array_equal(stats.counts, counts)
        np.testing.assert_array_equal(stats.nulls, nulls)
        assert stats.risk_counts.sum() == settled.sum()
        assert stats.rows == len(rows.ids)
        young += int((~settled).sum())
    assert young > 100


def interleaved(draw: Random, shard: int) -> list[Message]:
    """The rows and the versions of a shard, each in their order, mixed."""
    rows: list[Message] = [*company()[shard].rows]
    versions: list[Message] = [*learned_ticks()]
    turns = [0] * len(rows) + [1] * len(versions)
    draw.shuffle(turns)
    queues = (iter(rows), iter(versions))
    return [next(queues[turn]) for turn in turns]


def take(scorer: ShardScorer, message: Message) -> list[ScorerOutput]:
    return (
        scorer.take(ShardVersion(0, message.day, message.version))
        if isinstance(message, LearnedTick)
        else scorer.take(message)
    )


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, SHARDS - 1))
def test_rows_wait_for_the_version_of_their_tick(seed: int, shard: int) -> None:
    scorer, out = ShardScorer(SCORING), list[ScorerOutput]()
    for message in interleaved(Random(seed), shard):
        out += take(scorer, message)
    assert as_bytes(out) == as_bytes(score(shard))


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, SHARDS - 1))
def test_a_resumed_scorer_goes_on_identically(seed: int, shard: int) -> None:
    messages = interleaved(Random(seed), shard)
    cuts = Random(seed).sample(range(len(messages)), 4)
    scorer, out = ShardScorer(SCORING), list[ScorerOutput]()
    for position, message in enumerate(messages):
        if position in cuts:
            state = pack("score", scorer.state())
            scorer = ShardScorer(SCORING)
            scorer.restore(unpack("score", state))
        out += take(scorer, message)
    assert as_bytes(out) == as_bytes(score(shard))


def flat(day: int, log_odds: float) -> ModelVersion:
    """A version by which everybody has the same risk, but for the first feature, which adds itself."""
    return AdditiveVersion("flat", day, log_odds, {FEATURES[0]: Curve((-9.0, 9.0), (-9.0, 9.0), 0.0)})


def tick_rows(day: int, values: list[float], new_ids: list[str], gone: tuple[int, ...] = ()) -> TickRows:
    features = np.zeros((len(values), len(FEATURES)))
    features[:, 0] = values
    account = np.array([i for i in range(len(values) + len(gone)) if i not in gone], np.int32)
    return TickRows(
        shard=0,
        day=day,
        account=account,
        new_ids=new_ids,
        features=features,
        gone=np.array(gone, np.int32),
        labels=tick_labels(),
    )


def moved(day: int, value: float, account: int = 0, new_ids: tuple[str, ...] = ()) -> IntradayRows:
    features = np.zeros((1, len(FEATURES)))
    features[:, 0] = value
    return IntradayRows(0, np.array([account], np.int32), list(new_ids), np.array([day * US_PER_DAY + 1000]), features)


def after_a_tick(risk_log_odds: float = 0.0) -> ShardScorer:
    scorer = ShardScorer(replace(SCORING, event_score_change_min=0.01))
    scorer.take(ShardVersion(0, DAY, flat(DAY, risk_log_odds)))
    scorer.take(tick_rows(DAY, [0.0], ["acme"]))
    return scorer


def test_only_material_changes_are_scored_between_ticks() -> None:
    scorer = after_a_tick()
    assert scorer.take(moved(DAY, 0.03)) == []
    (scored,) = scorer.take(moved(DAY, 0.05))
    assert isinstance(scored, ScoredRows)
    assert (scored.trigger, scored.ids, scored.previous_risk.tolist()) == ("event", ["acme"], [0.5])
    assert scorer.take(moved(DAY, 0.07)) == [], "against the last score that was emitted"


def test_a_rise_in_tier_is_material_however_small() -> None:
    """At 0.549 `critical` is not certain yet, at 0.551 it is: its threshold of 0.5 and the band of a tenth."""
    scorer = ShardScorer(replace(SCORING, event_score_change_min=0.5))
    scorer.take(ShardVersion(0, DAY, flat(DAY, logit(0.49))))
    scorer.take(tick_rows(DAY, [0.0], ["acme"]))
    assert scorer.take(moved(DAY, logit(0.549) - logit(0.49))) == []
    (scored,) = scorer.take(moved(DAY, logit(0.551) - logit(0.49)))
    assert isinstance(scored, ScoredRows)
    assert (scored.previous_tier.tolist(), scored.tier.tolist()) == ([2], [3])
    (fallen,) = scorer.take(moved(DAY, -9.0))
    assert isinstance(fallen, ScoredRows)
    assert fallen.tier.tolist() == [3], "nothing falls before the next tick"


def test_an_account_without_a_tick_waits_for_its_first() -> None:
    assert after_a_tick().take(moved(DAY, 5.0, account=1, new_ids=("bolt",))) == []


def test_before_the_first_version_nothing_is_scored() -> None:
    scorer = ShardScorer(SCORING)
    assert scorer.take(moved(DAY, 5.0, new_ids=("acme",))) == []


def test_whoever_is_gone_starts_afresh() -> None:
    """After a reactivation there is no previous risk: the subscription is another one."""
    scorer = after_a_tick()
    scorer.take(ShardVersion(0, DAY + 1, flat(DAY + 1, 0.0)))
    (tick,) = scorer.take(tick_rows(DAY + 1, [], [], gone=(0,)))
    assert isinstance(tick, ScoredTick)
    assert (tick.gone, tick.scores.ids) == (["acme"], [])
    scorer.take(ShardVersion(0, DAY + 2, flat(DAY + 2, 0.0)))
    (back,) = scorer.take(tick_rows(DAY + 2, [0.0], []))
    assert isinstance(back, ScoredTick)
    assert np.isnan(back.scores.previous_risk).all()
    assert back.scores.previous_tier.tolist() == [NO_TIER]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_moved_adds_up_to_the_change_of_the_log_odds(shard: int) -> None:
    """Against the account's own past: what its features changed, and what the model has learnt, is the whole change."""
    compared = 0
    for rows in scored_rows(shard):
        known = ~np.isnan(rows.previous_risk)
        change = np.log(rows.risk / (1 - rows.risk)) - np.log(rows.previous_risk / (1 - rows.previous_risk))
        total = rows.delta.sum(axis=1) + rows.model_delta
        np.testing.assert_allclose(total[known], change[known], atol=1e-9)
        assert np.isnan(rows.delta[~known]).all()
        compared += int(known.sum())
    assert compared > 100


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_moved_is_measured_from_the_score_before(shard: int) -> None:
    for before, after in pairwise(ticks(shard)):
        features = dict(zip(before.scores.ids, before.scores.features, strict=True))
        for i, account in enumerate(after.scores.ids):
            if account in features:
                np.testing.assert_array_equal(after.scores.before[i], features[account])
                same = after.scores.features[i] == features[account]
                assert not after.scores.delta[i][same].any()


def test_between_ticks_the_last_emitted_score_is_what_counts() -> None:
    scorer = after_a_tick()
    (first,) = scorer.take(moved(DAY, 0.5))
    (second,) = scorer.take(moved(DAY, -0.25))
    assert isinstance(first, ScoredRows)
    assert isinstance(second, ScoredRows)
    assert (first.delta[0, 0], second.delta[0, 0]) == pytest.approx((0.5, -0.75))
    restored = ShardScorer(SCORING)
    restored.restore(unpack("s", pack("s", scorer.state())))
    for each in (scorer, restored):
        (third,) = each.take(moved(DAY, 1.0))
        assert isinstance(third, ScoredRows)
        assert third.delta[0, 0] == pytest.approx(1.25)
    scorer.take(ShardVersion(0, DAY + 1, flat(DAY + 1, 0.0)))
    (tick,) = scorer.take(tick_rows(DAY + 1, [2.0], []))
    assert isinstance(tick, ScoredTick)
    assert tick.scores.delta[0, 0] == pytest.approx(2.0), "ticks form a chain of their own"


def test_a_new_version_alone_moves_nothing_but_the_model() -> None:
    scorer = after_a_tick()
    scorer.take(ShardVersion(0, DAY + 1, flat(DAY + 1, 0.7)))
    (tick,) = scorer.take(tick_rows(DAY + 1, [0.0], []))
    assert isinstance(tick, ScoredTick)
    assert not tick.scores.delta.any()
    assert tick.scores.model_delta[0] == pytest.approx(0.7)


def test_leads_of_those_who_are_gone_and_flags_for_nothing() -> None:
    """Risk 0.5 is high, risk 0.01 is not: one account was high from the third tick on, for longer than a horizon,
    one never."""
    scorer, low = ShardScorer(SCORING), -4.6
    found = []
    for number in range(12):
        day = DAY + number
        scorer.take(ShardVersion(0, day, flat(day, 0.0)))
        values = [low if number < 2 else 0.0, low, low if number < 4 else 0.0]
        rows = tick_rows(day, values[: 3 - 2 * (number == 9)], ["acme", "bolt", "cone"] if number == 0 else [])
        if number == 9:
            rows = replace(tick_rows(day, [0.0], [], gone=()), account=np.array([2], np.int32))
            rows = replace(rows, gone=np.array([0, 1], np.int32))
        if number > 9:
            rows = replace(tick_rows(day, [0.0], []), account=np.array([2], np.int32))
        due = day - HORIZON_DAYS
        stayed = np.array([2], np.int32)
        labels = KnownLabels(stayed, np.array([due]), np.zeros(1, np.bool_))
        (tick,) = scorer.take(replace(rows, labels=tick_labels(labels)))
        assert isinstance(tick, ScoredTick)
        found.append(tick.leads)
    assert [each.lead_days.tolist() for each in found if len(each.lead_days)] == [[HORIZON_DAYS, NEVER]]
    # The third account became high at the fifth tick, and was still there a horizon later.
    assert [number for number, each in enumerate(found) if each.false_flags] == [4 + HORIZON_DAYS]
    assert [each.account_days for each in found[HORIZON_DAYS : HORIZON_DAYS + 2]] == [3, 3]


def test_segments_are_compared_from_monday_to_monday() -> None:
    scorer = ShardScorer(SCORING)
    kept = []
    for number in range(15):
        day = DAY + number
        scorer.take(ShardVersion(0, day, flat(day, -9.0)))
        (tick,) = scorer.take(tick_rows(day, [0.0, 8.0 if number > 9 else 0.0], ["acme", "bolt"] if not number else []))
        assert isinstance(tick, ScoredTick)
        kept.append(tick.kept_segment)
    mondays = [number for number in range(15) if (DAY + number) % 7 == MONDAY]
    assert [kept[number] for number in mondays] == [(0, 0), (2, 2), (1, 2)][: len(mondays)]
    assert all(each == (0, 0) for number, each in enumerate(kept) if number not in mondays)


def test_a_day_that_leaves_the_windows_is_not_what_the_model_has_learnt() -> None:
    """The last score is made again under today's version, whose exposures have to reach as far back as its windows."""
    model = ChurnModel()
    rows = feature_rows(900, seed=1)
    model.learn(rows, drawn(rows, seed=1), np.full(900, (DAY - 200) * US_PER_DAY))
    model.expose(DAY, 0.0)
    for day in range(DAY + 29, DAY + 34):
        before, now = ShardScorer(SCORING), feature_rows(50, seed=2)
        ids = [f"a{row}" for row in range(50)]
        for tick in (day, day + 1):
            before.take(ShardVersion(0, tick, model.version(tick)))
            (scored,) = before.take(replace(tick_rows(tick, [0.0] * 50, ids if tick == day else []), features=now))
        assert isinstance(scored, ScoredTick)
        assert np.abs(scored.scores.model_delta).max() < 1e-9, day - DAY
