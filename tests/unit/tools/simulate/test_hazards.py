"""What the scenarios say of who leaves is in their truth, in their cancellations and in their events."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from scipy.stats import spearmanr

from c360_stream.tools.simulate import SCENARIOS
from c360_stream.tools.simulate.population import PLANS, Bools, Floats
from c360_stream.tools.simulate.scenario import LARGE_SEATS
from tests.unit.tools.simulate.lives import Lives, lives
from tests.unit.tools.simulate.worlds import SMALL, live, world

YEAR = 365


@pytest.mark.parametrize(("scenario", "rate", "accounts"), [("low_rate", 0.01, 6000), ("high_rate", 0.4, 2500)])
def test_rates_are_low_and_high(scenario: str, rate: float, accounts: int) -> None:
    seen = lives(scenario, accounts)
    assert seen.churned[seen.known].mean() == pytest.approx(rate, rel=0.15)
    assert seen.risk_60d[seen.known].mean() == pytest.approx(rate, rel=0.15)


def test_the_early_hazard_is_three_times_the_later_one() -> None:
    seen = lives("early_hazard", 6000)
    early = seen.age < 90
    assert seen.cancelling(early) / seen.cancelling(~early) == pytest.approx(3.0, rel=0.12)
    true = [np.nanmean(seen.hazard_1d[rows & seen.active]) for rows in (early, ~early)]
    assert true[0] / true[1] == pytest.approx(3.0, rel=0.12)


def test_a_year_of_large_stay_costs_18_percent_of_the_accounts_and_25_of_the_revenue() -> None:
    seen, begin = lives("large_stay", days=500), 120
    here, year = seen.active[begin], slice(begin, begin + YEAR)
    left = here & seen.cancels[year].any(axis=0)
    assert left.sum() / here.sum() == pytest.approx(0.18, abs=0.025)
    mrr, stays = seen.mrr_cents[year], np.cumsum(seen.cancels[year], axis=0) == 0
    given_up = np.where(stays[:-1], np.maximum(-np.diff(mrr, axis=0), 0), 0).sum(axis=0)
    cancelled = np.where(left, mrr[np.argmax(seen.cancels[year], axis=0), np.arange(len(here))], 0)
    assert (given_up + cancelled)[here].sum() / mrr[0, here].sum() == pytest.approx(0.25, abs=0.04)
    large = seen.population.seats >= LARGE_SEATS
    assert left[large].sum() / here[large].sum() < 0.6 * left[~large].sum() / here[~large].sum()
    shrinking = [given_up[here & rows].sum() / mrr[0, here & rows].sum() for rows in (large, ~large)]
    assert shrinking[0] > 1.5 * shrinking[1]


def _by_group(seen: Lives, trait: Floats, rows: Bools, groups: int) -> list[float]:
    """Cancellations an account-day by group of a trait of the accounts, from the lowest to the highest."""
    edges = np.quantile(trait[rows], np.arange(1, groups) / groups)
    number = np.searchsorted(edges, trait)
    return [seen.cancelling(np.broadcast_to(rows & (number == group), seen.cancels.shape)) for group in range(groups)]


def test_signs_differ_by_size() -> None:
    seen = lives("segments_differ")
    large = seen.population.seats >= LARGE_SEATS
    for rows, sign in ((~large, -1), (large, 1)):
        chosen = seen.active & rows & (seen.age > 30)
        effect = spearmanr(seen.engagement[chosen], seen.risk_60d[chosen]).statistic
        assert sign * effect > 0.25
        for trait in (seen.population.ceiling, seen.population.fill):
            low, _, high = _by_group(seen, trait, rows, 3)
            assert sign * (high - low) > 0.15 * (high + low)
        hurt = seen.incidents > 0.5
        with_tickets, without = (np.nanmean(seen.hazard_1d[chosen & some]) for some in (hurt, ~hurt))
        assert sign * (without - with_tickets) > 0
    assert 0.3 < large.mean() < 0.7


def test_thresholds_are_u_shapes_and_ages() -> None:
    seen = lives("thresholds")
    everybody = np.ones(len(seen.population.seats), np.bool_)
    for trait in (seen.population.fill, seen.population.asking):
        low, *middle, high = _by_group(seen, trait, everybody, 5)
        assert min(low, high) > 1.25 * np.mean(middle)
    grown = seen.active & (seen.age > 30)
    edges = np.quantile(seen.engagement[grown], [0.15, 0.4, 0.7, 0.93])
    number = np.searchsorted(edges, seen.engagement)
    idle, _, usual, _, intense = (seen.cancelling(grown & (number == group)) for group in range(5))
    assert min(idle, intense) > 1.5 * usual
    for age in (90, 180):
        beside = (np.abs(seen.age - age) > 25) & (np.abs(seen.age - age) < 45)
        assert seen.cancelling(np.abs(seen.age - age) <= 8) > 1.8 * seen.cancelling(beside)


def test_many_and_few_questions_are_seen_in_the_tickets() -> None:
    tickets = {}
    for scenario in ("steady", "thresholds"):
        counts = Counter(event["account_id"] for event in world(scenario).events("support"))
        tickets[scenario] = np.array([counts[f"acc-{n:06d}"] for n in range(SMALL.accounts)])
    spread = {scenario: np.quantile(counts, 0.9) - np.quantile(counts, 0.1) for scenario, counts in tickets.items()}
    assert spread["thresholds"] > 1.7 * spread["steady"]


def test_outreach_has_the_effect_that_is_documented() -> None:
    seen = lives("outreach", 6000)
    for playbook, level in zip(SCENARIOS["outreach"].playbooks, seen.outreach, strict=True):
        # The truth of an account on the midnights before and after a contact: the rest moves up and down.
        contacted = (level[:-1] < 0.05) & (level[1:] > 0.95) & seen.active[:-1] & seen.active[1:]
        steps = np.log(seen.hazard_1d[1:][contacted] / seen.hazard_1d[:-1][contacted])
        assert np.median(steps) == pytest.approx(playbook.weight * playbook.decay, abs=0.05)
        # Who cancels within two weeks, against what the truth would be without it.
        fresh = (level > 0.75) & (level <= 1.0) & seen.active
        without = seen.hazard_1d[fresh] * np.exp(-playbook.weight * level[fresh])
        factor = seen.hazard_1d[fresh].sum() / without.sum()
        cancelled = seen.cancels[fresh].sum()
        assert cancelled / without.sum() == pytest.approx(factor, abs=3 * np.sqrt(cancelled) / without.sum())
        assert factor == pytest.approx(np.exp(playbook.weight * 0.87), rel=0.06)
        # Drawn by lot: just before it, the contacted are as likely to leave as others that were not contacted lately.
        others = (level[:-1] < 0.05) & seen.active[:-1]
        likely = [np.nanmean(seen.hazard_1d[:-1][rows]) for rows in (contacted, others)]
        assert likely[0] == pytest.approx(likely[1], rel=0.15)


def test_outreach_events_name_the_playbooks_and_the_others_keep_theirs() -> None:
    named = {
        scenario: Counter(
            event["playbook"]
            for event in world(scenario).events("support")
            if event["event_type"] == "success_contacted"
        )
        for scenario in ("outreach", "steady")
    }
    assert set(named["outreach"]) == {"training", "check_in"}
    assert min(named["outreach"].values()) > 15
    assert set(named["steady"]) == {"check_in", "training", "renewal_talk"}


def test_contracts_of_several_terms_are_left_as_they_end_and_plans_differ() -> None:
    terms: dict[str, set[int]] = defaultdict(set)
    for event in live(replace(SMALL, accounts=120, days=30, scenario="contracts")).events("billing"):
        if event["event_type"] == "subscription_started":
            began = datetime.fromisoformat(event["occurred_at"])
            renewal = datetime.fromisoformat(event["renewal_at"]) if "renewal_at" in event else None
            terms[event["contract"]].add((renewal.date() - began.date()).days if renewal else 0)
    assert terms == {"monthly": {0}, "quarterly": {90}, "yearly": {365}, "two_years": {730}}
    seen = lives("contracts", 4000)
    quarterly = np.broadcast_to(seen.population.term_days == 90, seen.cancels.shape)
    ends = seen.age % 90 >= 75
    assert seen.cancelling(quarterly & ends) > 4 * seen.cancelling(quarterly & ~ends)
    by_plan = [
        seen.cancelling(np.broadcast_to(seen.population.plan == n, seen.cancels.shape)) for n in range(len(PLANS))
    ]
    assert by_plan[1] > by_plan[0] > by_plan[2] > by_plan[3]
    assert not any("contract" in event for event in world("steady").events("billing"))


def test_reasons_are_mostly_true_where_they_are_meant_to_be() -> None:
    true, any_reason = lives("high_rate"), lives("steady")
    for seen, meant in ((true, True), (any_reason, False)):
        told = Counter(reason for *_, reason in seen.reasons)
        assert told[""] / told.total() == pytest.approx(0.15, abs=0.04)
        assert set(told) == {"", "not_using_it", "missing_features", "budget", "support_experience", "switched_vendor"}
        incidents, engagement = (
            {
                named: np.mean(
                    [
                        state[day, account]
                        for day, account, reason in seen.reasons
                        if reason and (reason == cause) == named
                    ]
                )
                for named in (True, False)
            }
            for state, cause in ((seen.incidents, "support_experience"), (seen.engagement, "not_using_it"))
        )
        assert (incidents[True] > 2 * incidents[False]) == meant
        assert (engagement[True] < engagement[False] - 0.5) == meant


def test_a_monthly_rhythm_is_in_the_usage_and_nowhere_else() -> None:
    spec = replace(SMALL, accounts=100, days=91)
    steady, rhythm = live(spec), live(replace(spec, scenario="monthly_rhythm"))
    assert rhythm.truth == steady.truth
    assert rhythm.raw("billing") == steady.raw("billing")
    assert rhythm.raw("support") == steady.raw("support")
    users: dict[bool, Counter[str]] = {}
    for peak in (True, False):
        users[peak] = Counter()
        for name, lived in (("steady", steady), ("rhythm", rhythm)):
            shown = {(event["occurred_at"][:10], event.get("user_id")) for event in lived.events("product")}
            days = (1, 2, 30, 31) if peak else (14, 15, 16, 17)
            users[peak][name] = sum(int(day[8:]) in days for day, _ in shown)
    assert users[True]["rhythm"] / users[True]["steady"] == pytest.approx(1.39, abs=0.08)
    assert users[False]["rhythm"] / users[False]["steady"] == pytest.approx(0.61, abs=0.06)
