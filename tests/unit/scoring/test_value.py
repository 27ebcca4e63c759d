"""Lifetime value against a simulation of accounts that cancel, and the ledger that holds it against what came in."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.models.classifier import logit
from c360_stream.models.horizons import RiskCurve, Share
from c360_stream.monitoring.value_check import CHECK_DAYS, ValueCheck
from c360_stream.scoring.value import ValueConfig, ValueLedger, lifetimes
from c360_stream.state.codec import pack, unpack


def curve(base_rate: float = 0.1, slope: float = 1.0) -> RiskCurve:
    return RiskCurve(60, base_rate, {}, {90: Share(slope, 0.0)})


@pytest.mark.parametrize("risk", [0.02, 0.1, 0.4])
def test_the_average_account_stays_as_long_as_its_hazard_says(risk: float) -> None:
    """Where nothing has to revert: the sum over months of what is left of a constant hazard."""
    monthly = 1 - (1 - risk) ** 0.5
    left = (1 - monthly) ** (np.arange(60) + 0.5)
    found = lifetimes(curve(base_rate=risk), ValueConfig(discount_rate=0.0)).expected_months(np.array([logit(risk)]))
    assert found[0] == pytest.approx(left.sum(), rel=5e-3)


def test_money_later_is_worth_less() -> None:
    now = np.array([logit(0.1)])
    dear, cheap = (lifetimes(curve(), ValueConfig(discount_rate=rate)).worth(now)[0] for rate in (0.0, 0.5))
    assert cheap < 0.8 * dear
    monthly, keep = 1 - 0.9**0.5, 1.5 ** (-1 / 12)
    left = (1 - monthly) ** (np.arange(60) + 0.5) * keep ** (np.arange(60) + 0.5)
    assert cheap == pytest.approx(left.sum(), rel=1e-3)


def test_an_account_goes_back_to_the_average_as_fast_as_was_learnt() -> None:
    risky = np.array([logit(0.5)])
    stays, reverts = (lifetimes(curve(slope=slope), ValueConfig()).expected_months(risky)[0] for slope in (1.0, 0.1))
    assert stays < 8
    assert reverts > 2 * stays
    assert curve(slope=0.25).persistence == pytest.approx(0.25 ** (1 / 1.5))
    assert curve(slope=-1.0).persistence == 0.0
    assert curve(slope=3.0).persistence == 0.98


def test_months_ahead_are_bounded() -> None:
    safe = np.array([-12.0])
    assert lifetimes(curve(1e-4), ValueConfig(value_months_max=12)).expected_months(safe)[0] == pytest.approx(12, 0.01)


def earn(ledger: ValueLedger, days: range, mrr: dict[int, float], gone: dict[int, int]) -> list[ValueCheck]:
    found = []
    for day in days:
        account = np.array([each for each in mrr if day < gone.get(each, 10**6)], np.int32)
        revenue = np.array([mrr[each] for each in account.tolist()])
        check = ledger.tick(day, account, revenue, np.full(len(account), 4.0))
        if check is not None:
            found.append(check)
    return found


def test_what_came_in_is_held_against_the_prediction() -> None:
    ledger = ValueLedger(ValueConfig(margin_share=0.5, discount_rate=0.0))
    found = earn(ledger, range(30, 240), {0: 1000.0, 1: 3000.0, 2: np.nan}, gone={1: 30 + 90})
    # Predicted: 4 months each. Account 0 paid 6 of them, account 1 paid 3 and left.
    assert found == [ValueCheck(3, 2000 + 6000, 3000 + 4500, 1000 + 1500)]
    assert {each.metric: each.value for each in found[0].measures()} == {
        f"value_{CHECK_DAYS}d_ratio": pytest.approx(8000 / 7500),
        f"value_{CHECK_DAYS}d_error_share": pytest.approx(2500 / 7500),
    }


def test_what_comes_in_is_discounted_to_the_day_of_the_prediction() -> None:
    ledger = ValueLedger(ValueConfig(margin_share=1.0, discount_rate=0.2))
    found = earn(ledger, range(7, 301), {0: 3000.0}, gone={})
    years = np.arange(CHECK_DAYS) / 365
    expected = round(float(np.sum(100.0 * 1.2**-years)))
    assert [each.realised_cents for each in found] == pytest.approx([expected] * len(found), abs=1)
    assert len(found) == 4


def test_the_ledger_goes_on_from_a_snapshot() -> None:
    config, mrr = ValueConfig(), {0: 1000.0, 1: 500.0}
    whole, first, second = ValueLedger(config), ValueLedger(config), ValueLedger(config)
    expected = earn(whole, range(300), mrr, {1: 200})
    found = earn(first, range(133), mrr, {1: 200})
    second.restore(unpack("s", pack("s", first.state())))
    assert found + earn(second, range(133, 300), mrr, {1: 200}) == expected
    assert len(expected) == 4


def test_checks_of_shards_add_up() -> None:
    assert ValueCheck.merged([]) is None
    assert ValueCheck.merged([ValueCheck(1, 2, 3, 4), ValueCheck(10, 20, 30, 40)]) == ValueCheck(11, 22, 33, 44)
    assert ValueCheck(3, 5, 0, 5).measures() == []
