"""What the scenarios do to usage and to who leaves, and what they leave alone."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from c360_stream.cli.options import SCENARIO_HELP
from c360_stream.tools.simulate.company import Company
from c360_stream.tools.simulate.scenario import SCENARIOS, SimulationSpec
from tests.unit.tools.simulate.worlds import SMALL, live, world

ROOT = Path(__file__).parents[4]


def test_outage_loses_exactly_48_hours_of_product_events_and_nothing_else() -> None:
    window = replace(SMALL, scenario="outage").outage_window
    assert window is not None
    begin, end = (moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in window)
    assert window[1] - window[0] == timedelta(hours=48)
    assert window[0].weekday() == 1
    steady, outage = world("steady"), world("outage")
    kept = [event for event in steady.events("product") if not begin <= event["occurred_at"] < end]
    assert len(kept) < steady.summary.events["product"]

    # Ids number what was delivered, so all but the id is compared.
    def told(events: list[dict[str, object]]) -> list[tuple[tuple[str, object], ...]]:
        return sorted(tuple((name, event[name]) for name in sorted(event) if name != "event_id") for event in events)

    assert told(outage.events("product")) == told(kept)
    assert outage.truth == steady.truth
    assert outage.raw("billing") == steady.raw("billing")
    assert outage.raw("support") == steady.raw("support")


def _users_a_workday(events: list[dict[str, object]], begin: date, end: date) -> float:
    days = Counter()  # type: Counter[str]
    for day, _ in {(str(event["occurred_at"])[:10], event.get("user_id")) for event in events}:
        days[day] += 1
    workdays = [begin + timedelta(days=n) for n in range((end - begin).days)]
    return float(np.mean([days[day.isoformat()] for day in workdays if day.weekday() < 5]))


def test_seasonal_dips_by_45_percent_around_the_turn_of_the_year_and_nobody_leaves_for_it() -> None:
    spec = SimulationSpec(accounts=130, days=75, seed=4, start=date(2024, 11, 5))
    steady, seasonal = live(spec), live(replace(spec, scenario="seasonal"))
    assert seasonal.truth == steady.truth

    def ratio(begin: date, end: date) -> float:
        shown = [_users_a_workday(one.events("product"), begin, end) for one in (seasonal, steady)]
        return shown[0] / shown[1]

    assert ratio(date(2024, 11, 20), date(2024, 12, 15)) == pytest.approx(1.0, abs=0.05)
    assert ratio(date(2024, 12, 15), date(2025, 1, 4)) == pytest.approx(0.55, abs=0.05)
    assert ratio(date(2025, 1, 4), date(2025, 1, 19)) == pytest.approx(1.0, abs=0.05)


def _sensitivity_of_leavers(scenario: str) -> tuple[float, float]:
    """Mean price sensitivity of those who leave in the first and in the second half."""
    spec = SimulationSpec(accounts=600, days=240, seed=9, scenario=scenario, events_per_account_day=6)
    company = Company(spec)
    halves: tuple[list[float], list[float]] = ([], [])
    for day in range(spec.days):
        _, events = company.step(day)
        billing = events["billing"]
        left = np.array(
            [name == b"subscription_cancelled" for name in billing.event_type.take(np.arange(len(billing.at_ms)))]
        )
        if left.any():
            halves[day >= spec.days // 2].extend(company.population.price_sensitivity[billing.account[left]].tolist())
    return float(np.mean(halves[0])), float(np.mean(halves[1]))


def test_price_increase_changes_who_leaves_from_halfway_on() -> None:
    steady, dearer = _sensitivity_of_leavers("steady"), _sensitivity_of_leavers("price_increase")
    assert dearer[0] == steady[0]
    assert dearer[1] > 1.25 * steady[1]


def test_price_increase_shows_in_the_contracts() -> None:
    halfway = datetime.fromisoformat((SMALL.start + timedelta(days=SMALL.days // 2)).isoformat())
    dearer: Counter[bool] = Counter()
    mrr: dict[str, int] = {}
    for event in world("price_increase").events("billing"):
        if "mrr_cents" not in event:
            continue
        before = mrr.get(event["account_id"])
        mrr[event["account_id"]] = event["mrr_cents"]
        if before and "seats" not in event:
            assert event["occurred_at"] >= halfway.isoformat()
            dearer[event["mrr_cents"] > before] += 1
    assert dearer[True] > 10
    assert not dearer[False]


def _share_in_between(scenario: str) -> float:
    """Of fading accounts' midnights, the share at which engagement is neither high nor at the bottom."""
    spec = SimulationSpec(accounts=400, days=150, seed=2, scenario=scenario, events_per_account_day=6)
    company = Company(spec)
    seen = []
    for day in range(spec.days):
        company.step(day)
        life = company._lifecycle
        seen.append(life.engagement[life.active & (life.regime == 1)])
    fading = np.concatenate(seen)
    return float(np.mean((fading > -2.0) & (fading < -0.5)))


def test_silent_decline_fades_where_steady_breaks_off() -> None:
    assert _share_in_between("silent_decline") > 1.5 * _share_in_between("steady")


def test_weekends_are_quiet() -> None:
    days = Counter(date.fromisoformat(event["occurred_at"][:10]).weekday() for event in world().events("product"))
    weekend, workday = (days[5] + days[6]) / 2, sum(days[n] for n in range(5)) / 5
    assert weekend / workday == pytest.approx(0.15, abs=0.03)


def test_every_scenario_says_what_it_is_in_help_and_documents() -> None:
    assert all(scenario.description for scenario in SCENARIOS.values())
    assert re.split(r", | or ", SCENARIO_HELP.partition(":")[0]) == list(SCENARIOS)
    section = (ROOT / "docs/operations.md").read_text().partition("### Scenarios\n")[2].partition("\n## ")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|", section) == list(SCENARIOS)


@pytest.mark.parametrize(
    ("scenario", "known"),
    [
        ("steady", "8b4631ae25c69d0f"),
        ("price_increase", "e5aedfae07ce666c"),
        ("outage", "f71405c56c328bb5"),
        ("seasonal", "4414385e913dcfd7"),
        ("silent_decline", "fde4484b9a9f53a9"),
    ],
)
def test_worlds_of_the_first_release_stay_what_they_are_to_the_byte(scenario: str, known: str) -> None:
    lived = live(SimulationSpec(40, 80, 5, start=date(2024, 11, 1), scenario=scenario))
    found = hashlib.sha256(repr(sorted(lived.sink.lines.items())).encode() + lived.truth.encode()).hexdigest()
    assert found.startswith(known)
