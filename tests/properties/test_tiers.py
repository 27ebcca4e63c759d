"""Tiers stay: what the rule promises, for any risks on any days, alone and in company, with a restart in between."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.definitions import FEATURES
from c360_stream.features.emissions import IntradayRows, TickRows
from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.models.classifier import logit
from c360_stream.models.version import ModelVersion
from c360_stream.scoring.account_scores import ScoringConfig
from c360_stream.scoring.scored import FinalOutcomes, ScoredTick, ScorerOutput
from c360_stream.scoring.scorer import ShardScorer, ShardVersion
from c360_stream.scoring.tiers import NO_TIER, Tiers
from c360_stream.state.codec import pack, unpack
from tests.unit.features.deliveries import tick_labels

THRESHOLDS = (0.10, 0.25, 0.50)
FIRST_DAY, HORIZON_DAYS = 100, 5
# Drawn from the neighbourhood of the thresholds and bands, where everything happens.
risks = st.one_of(st.floats(0.01, 0.99), st.sampled_from([0.05, 0.08, 0.09, 0.11, 0.19, 0.21, 0.26, 0.31, 0.41, 0.61]))
histories = st.lists(risks, min_size=1, max_size=40)
bands = st.sampled_from([0.0, 0.1, 0.2, 0.5])
min_days = st.integers(0, 10)


class Step(NamedTuple):
    """A day of one account: what its shard does, and a risk in the middle of the day."""

    risk: float | None  # at the tick; None: not a customer
    between: float | None


steps = st.lists(
    st.builds(Step, st.one_of(risks, risks, risks, st.none()), st.one_of(st.none(), risks)), min_size=1, max_size=25
)


def tiers_of(history: list[float], tiers: Tiers) -> list[int]:
    """Tiers of one account at its ticks, in order, each from the risks so far and the tier before."""
    found, previous = [], NO_TIER
    for count in range(1, len(history) + 1):
        newest_first = np.array(history[:count][::-1])[:, None]
        previous = int(tiers.at_tick(newest_first, np.array([previous], np.int8))[0])
        found.append(previous)
    return found


@given(histories, bands, min_days)
def test_a_tier_is_entered_at_once_and_kept_while_it_must_be(history: list[float], band: float, days: int) -> None:
    found = tiers_of(history, Tiers(THRESHOLDS, band, days))
    for level, threshold in enumerate(THRESHOLDS, 1):
        in_it = [tier >= level for tier in found]
        since = None
        for tick, (risk, there) in enumerate(zip(history, in_it, strict=True)):
            before = tick > 0 and in_it[tick - 1]
            assert there or risk < threshold, "entered as soon as the threshold is reached"
            if there and not before:
                assert risk >= threshold, "entered for no other reason"
                since = tick
            if before and not there:
                assert since is not None
                assert tick - since >= days, "left before its time"
                lately = history[max(tick - max(days, 1) + 1, 0) : tick + 1]
                assert max(lately) < threshold * (1 - band), "left while the risk was not below the band"
        # Left as soon as the rule allows it: nobody stays for ever.
        quiet = max(days, 1)
        for tick in range(quiet - 1, len(history)):
            if max(history[tick - quiet + 1 : tick + 1]) < threshold * (1 - band):
                assert not in_it[tick]


@given(risks, st.integers(0, 3), bands)
def test_between_ticks_nothing_falls_and_a_rise_is_beyond_the_band(risk: float, previous: int, band: float) -> None:
    after = int(Tiers(THRESHOLDS, band, 7).between(np.array([risk]), np.array([previous], np.int8))[0])
    assert after >= previous
    assert after == previous or risk >= THRESHOLDS[after - 1] * (1 + band)


@given(risks, risks, st.integers(NO_TIER, 3), bands)
def test_more_risk_is_never_a_lower_tier(one: float, other: float, previous: int, band: float) -> None:
    low, high = sorted((one, other))
    tiers = Tiers(THRESHOLDS, band, 1)
    before = np.full(2, previous, np.int8)
    for found in (tiers.at_tick(np.array([[low, high]]), before), tiers.between(np.array([low, high]), before)):
        assert found[0] <= found[1]


def flat(day: int) -> ModelVersion:
    """A version whose log-odds are the first feature."""
    return AdditiveVersion("flat", day, 0.0, {FEATURES[0]: Curve((-9.0, 9.0), (-9.0, 9.0), 0.0)})


def features_of(values: list[float]) -> NDArray[np.float64]:
    """Rows with these risks."""
    rows = np.zeros((len(values), len(FEATURES)))
    rows[:, 0] = [logit(value) for value in values]
    return rows


def as_scored(value: float) -> float:
    """The risk to its last bit: there and back through log-odds."""
    return float(flat(FIRST_DAY).score(features_of([value]), 0).risk[0])


def tick_rows(day: int, risk: dict[int, float], gone: list[int], new_ids: list[str]) -> TickRows:
    """Rows of the accounts that have a risk at a tick."""
    account, features = np.array(list(risk), np.int32), features_of(list(risk.values()))
    return TickRows(
        shard=0,
        day=day,
        account=account,
        new_ids=new_ids,
        features=features,
        gone=np.array(gone, np.int32),
        labels=tick_labels(),
    )


Seen = list[tuple[str, int, int, int]]
"""Trigger, day, tier and previous tier of each score of an account."""


def scored(accounts: list[list[Step]], config: ScoringConfig, restarts: set[int], *, events: bool = True) -> list[Seen]:
    """What a scorer says of accounts whose days go side by side; restarted after the ticks of some days."""
    scorer, seen = ShardScorer(config), [Seen() for _ in accounts]
    there: set[int] = set()

    def note(day: int, found: list[ScorerOutput]) -> None:
        for each in found:
            assert not isinstance(each, FinalOutcomes)
            rows = each.scores if isinstance(each, ScoredTick) else each
            for name, tier, before in zip(rows.ids, rows.tier.tolist(), rows.previous_tier.tolist(), strict=True):
                seen[int(name)].append((rows.trigger, day, tier, before))

    for number in range(max(map(len, accounts))):
        day = FIRST_DAY + number
        now = {i: step for i, days in enumerate(accounts) for step in days[number : number + 1]}
        risk = {i: step.risk for i, step in now.items() if step.risk is not None}
        ids = [str(i) for i in range(len(accounts))] if not number else []
        scorer.take(ShardVersion(0, day, flat(day)))
        note(day, scorer.take(tick_rows(day, risk, sorted(there - set(risk)), ids)))
        there = set(risk)
        if number in restarts:
            state = pack("score", scorer.state())
            scorer = ShardScorer(config)
            scorer.restore(unpack("score", state))
        moved = {i: step.between for i, step in now.items() if step.between is not None and i in there}
        if moved and events:
            as_of_us = np.full(len(moved), day * US_PER_DAY + 1000)
            rows = IntradayRows(0, np.array(list(moved), np.int32), [], as_of_us, features_of(list(moved.values())))
            note(day, scorer.take(rows))
    return seen


configs = st.builds(
    lambda band, days: ScoringConfig(HORIZON_DAYS, THRESHOLDS, band, days, 0.05), bands, st.integers(0, 7)
)


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, min_size=1, max_size=4), configs, st.sets(st.integers(0, 24), max_size=4))
def test_tiers_depend_on_nobody_else_and_no_restart(
    accounts: list[list[Step]], config: ScoringConfig, restarts: set[int]
) -> None:
    together = scored(accounts, config, restarts)
    for days, seen in zip(accounts, together, strict=True):
        assert scored([days], config, set()) == [seen]


@settings(deadline=None, max_examples=60)
@given(steps, configs)
def test_ticks_do_not_know_of_scores_between_them(days: list[Step], config: ScoringConfig) -> None:
    (with_events,), (without,) = (scored([days], config, set(), events=events) for events in (True, False))
    assert [each for each in with_events if each[0] == "tick"] == without


@settings(deadline=None, max_examples=60)
@given(steps, configs)
def test_each_subscription_has_tiers_of_its_own(days: list[Step], config: ScoringConfig) -> None:
    """At its ticks an account has the tiers that the rule gives from the risks since it (last) became a customer."""
    (seen,) = scored([days], config, set())
    found = {day: tier for trigger, day, tier, _ in seen if trigger == "tick"}
    since: list[float] = []
    for number, step in enumerate(days):
        since = [] if step.risk is None else [*since, as_scored(step.risk)]
        if since:
            rule = Tiers(THRESHOLDS, config.hysteresis, config.tier_min_days)
            assert found[FIRST_DAY + number] == tiers_of(since, rule)[-1]


@settings(deadline=None, max_examples=60)
@given(steps, configs)
def test_previous_tiers_are_those_of_the_score_before(days: list[Step], config: ScoringConfig) -> None:
    """Of a tick the tick before, of a score between ticks the last of either kind; between ticks nothing falls."""
    (seen,) = scored([days], config, set())
    tick = last = (FIRST_DAY - 9, NO_TIER)
    for trigger, day, tier, before in seen:
        if trigger == "event":
            assert before == last[1]
            assert tier >= before
        else:
            assert before == (tick[1] if tick[0] == day - 1 else NO_TIER)
            tick = (day, tier)
        last = (day, tier)
