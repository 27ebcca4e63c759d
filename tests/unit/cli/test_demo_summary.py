"""The demo's closing words: what they add up to, in which order, and that each case reads as what it is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from c360_stream.cli.demo.findings import Findings, Quality, Ranking
from c360_stream.cli.demo.summary import Company, print_summary
from c360_stream.settings import Settings
from c360_stream.tools.simulate import SimulationSpec

LAST = datetime(2024, 12, 31, tzinfo=UTC)


def account(name: str, tier: str, risk: float, mrr_cents: int | None = 10_000) -> dict[str, Any]:
    at_risk = None if mrr_cents is None else round(mrr_cents * risk)
    texts = [f"{name} is silent", f"{name} pays late", f"{name} shrinks"]
    return {"account_id": name, "tier": tier, "risk": risk, "mrr_cents": mrr_cents, "texts": texts} | {
        "mrr_at_risk_cents": at_risk
    }


def tier(name: str, accounts: int, mrr_cents: int, mrr_at_risk_cents: int) -> dict[str, Any]:
    return {"tier": name, "accounts": accounts, "mean_risk": mrr_at_risk_cents / mrr_cents, "mrr_cents": mrr_cents} | {
        "mrr_at_risk_cents": mrr_at_risk_cents
    }


def alarm(days_ago: int, kind: str = "volume") -> dict[str, Any]:
    as_of = LAST - timedelta(days=days_ago)
    return {"as_of": as_of, "kind": kind, "subject": "billing", "severity": "warning", "detail": f"{days_ago} days ago"}


REFUSALS = Counter({("product", "not UTF-8"): 1, ("billing", "seats: Expected `int`, got `str`"): 2})
QUALITY = Quality(
    first=LAST - timedelta(days=200),
    last=LAST - timedelta(days=61),
    examples=9_000,
    left=80,
    scores=Ranking(0.8, 0.4, 0.5),
    rule=Ranking(0.7, 0.3, 0.375),
    truth=Ranking(0.9, 0.6, 0.75),
    predicted=0.081,
    observed=0.08,
)


def shown(capsys: pytest.CaptureFixture[str], settings: Settings | None = None, **changes: Any) -> str:
    """The summary of 100 accounts: 60 are customers, 25 gone, 15 still to begin. Words are apart by one space."""
    scores = {"ticks": 9_999, "between": 11, "accounts": 85, "last": LAST, "learnt_from": LAST - timedelta(days=280)}
    findings: dict[str, Any] = {
        "to_call": [account("big", "high", 0.3, 500_000), account("small", "critical", 0.6)],
        "tiers": [
            tier("critical", 1, 10_000, 6_000), tier("high", 9, 900_000, 250_000), tier("low", 50, 5_000_000, 9_000),
        ],
        "scores": scores, "alarms": [], "refusals": REFUSALS, "quality": QUALITY,
    }  # fmt: skip
    settings = settings or Settings.model_construct(log_dir=Path("out"))
    company = Company(SimulationSpec(100, 366, 1), 1_000, 997, 2, 1)
    print_summary(settings, company, Findings(**(findings | changes)))
    out = capsys.readouterr().out
    assert max(map(len, out[: out.index("Where to look next")].splitlines())) <= 80
    return " ".join(out.split())


def test_the_headline_comes_first_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    assert out.startswith("The customers of a simulated company on 2024-12-31 At stake 60 customers pay 59,100 a month")
    assert "2,650 of it is at risk (4%)" in out
    assert "10 at high or critical risk pay 9,100, of which 2,560 is at risk" in out
    assert "Call first big, which pays 5,000 a month: 30% risk that it cancels within 60 days. big is silent;" in out
    assert "40 of the 100 accounts that were simulated: 25 have cancelled by then, 15 had not begun." in out


def test_whom_to_call_shows_what_is_at_stake_and_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    table = out[out.index("Whom to call") :]
    assert "big high 30% 5,000 1,500 big is silent" in table
    assert "small critical 60% 100 60 small is silent" in table
    assert table.index("big high") < table.index("small critical")
    assert "1,000 8 more at high or critical risk" in table  # 2,560 less 1,560
    assert "*" not in table[: table.index("All customers")]


def test_nobody_to_call_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [account(name, "low", 0.05) for name in "abcd"]
    out = shown(capsys, to_call=rows, tiers=[tier("low", 60, 100_000, 5_000)])
    assert "Nobody is at high or critical risk; where most revenue is at risk" in out
    assert "c low 5% 100 5" in out
    assert "d low" not in out
    assert "summed up. Nobody is at high or critical risk. Most at stake a, which pays 100 a month" in out


def test_a_tier_that_is_held_below_its_threshold_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.model_construct(log_dir=Path("out"), tier_critical=0.6, tier_hysteresis=0.2, tier_min_days=5)
    out = shown(capsys, settings, to_call=[account("fading", "critical", 0.55), account("new", "high", 0.3)])
    assert "fading critical 55%*" in out
    assert "new high 30% " in out
    assert (
        "* critical begins at 60%; a customer stays critical until its risk has been under 48% for 5 days in a row"
        in out
    )
    assert "* high" not in out


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (QUALITY, "40% did leave within 60 days; of all, 8.0%. Going by who has been silent longest instead would"),
        (None, "Unknown yet: the first outcomes are known after 60 days."),
        (QUALITY.__class__(**{**QUALITY.__dict__, "left": 7}), "Only 7 customers left in the time that can be checked"),
        (QUALITY.__class__(**{**QUALITY.__dict__, "observed": 0.0, "left": 0}), "no customer left in the time"),
    ],
)
def test_how_far_to_trust_it(capsys: pytest.CaptureFixture[str], quality: Quality | None, said: str) -> None:
    out = shown(capsys, quality=quality)
    assert said in out[out.index("Trust") : out.index("Not shown")]


def test_the_table_of_quality_has_the_rule_beside_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    assert "left, of the riskiest 10% 40.0% 30.0% 60.0%" in out
    assert "these are, of all who left 50.0% 37.5% 75.0%" in out
    assert "ROC-AUC 0.800 0.700 0.900" in out
    assert "The risks add up: 8.1% were expected to leave, 8.0% left." in out


@pytest.mark.parametrize(
    ("left", "predicted", "said"),
    [
        (80, 0.095, "The risks do not add up: 9.5% were expected to leave, 8.0% left."),
        (29, 0.095, "9.5% were expected to leave, 8.0% left: too few to judge by."),
    ],
)
def test_whether_the_risks_add_up(capsys: pytest.CaptureFixture[str], left: int, predicted: float, said: str) -> None:
    quality = QUALITY.__class__(**{**QUALITY.__dict__, "left": left, "predicted": predicted})
    assert said in shown(capsys, quality=quality)


def test_old_alarms_are_history(capsys: pytest.CaptureFixture[str]) -> None:
    alarms = [alarm(270, "score_drift"), alarm(200), alarm(30), *(alarm(days) for days in (29, 9, 3, 1))]
    out = shown(capsys, alarms=alarms)
    part = out[out.index("Alarms of") : out.index("What went through")]
    assert part.startswith("Alarms of the last 30 days: 4 ")
    assert "3 days ago" in part
    assert "1 days ago" in part
    assert "and 2 more of volume" in part
    assert part.rstrip().endswith("Earlier, since 2024-04-05: 1 score_drift, 2 volume.")


def test_without_alarms_there_is_no_history(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    assert "Alarms of the last 30 days: 0" in out
    assert "Earlier" not in out


def test_refused_events_are_told_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    assert "997 accepted, 3 refused, 2 late, 1 duplicates." in out
    assert "Refused: 2 of billing: seats: Expected `int`, got `str`. Refused: 1 of product: not UTF-8." in out
    assert "Refused:" not in shown(capsys, refusals=Counter())
