"""The verdict: is it good enough to act on, and how is that known? In words, from the figures alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from c360_stream.monitoring.quality import Z_95, wilson_interval
from c360_stream.tools.evaluate.calls import IN_TIME_DAYS
from c360_stream.tools.evaluate.clusters import Estimate
from c360_stream.tools.evaluate.in_short import from_second_month, in_short
from c360_stream.tools.evaluate.names import BATCH, BATCH_NAMES, SILENCE
from c360_stream.tools.evaluate.pooled import Calls, Part, Pool, interval

Figures = dict[str, Any]

LEFT_MIN = 30
"""Accounts that left, and that stayed for a horizon: with fewer, the ROC-AUC's interval is some 0.2 wide."""
RATIO_OFF_MAX = 0.1
"""Share by which the mean risk may be off."""
PART_OFF_MAX, PART_OFF_SHARE_MAX = 0.03, 0.2
"""How far the mean risk of a band, or of 60 days, may be off: in points, or as a share of it, whichever is more."""
PART_ACCOUNTS_MIN = 20
PART_ERRORS_MIN = 3.0
"""Standard errors: there are many parts, and one in a hundred is 2.6 away by chance."""
TIMES_SHOWN = 3
FALL_MIN = 0.02
LATE_DAYS = 14

HEADLINES = {
    "act": "Good enough to act on.",
    "rank_only": "Good enough to decide whom to call, but do not take its percentages as they are.",
    "as_rule": "Not shown to be better than a rule of thumb: longest silent first.",
    "worse_than_rule": "Not good enough to act on: a rule of thumb, longest silent first, ranks better.",
    "chance": "Not good enough to act on: as far as these outcomes can tell, it ranks no better than chance.",
    "too_few": "Too early to say.",
    "nobody": "Cannot be said: nobody left in the time that is judged.",
}


def verdicts(worlds: Sequence[Figures], runs: Sequence[str]) -> list[Figures]:
    """One verdict per scenario and run.

    Each has `scenario`, `run`, `worlds`, `grade` (a key of `HEADLINES`), `headline`, and sentences: `in_short`,
    `ranking`, `probabilities`, `calls`, `limits` (uses that it is not good enough for) and `basis` (the evidence); and
    `bands`, rows of mean risks and outcomes.
    """
    scenarios = dict.fromkeys(world["world"]["scenario"] for world in worlds)
    found = []
    for scenario in scenarios:
        same = [world for world in worlds if world["world"]["scenario"] == scenario]
        for run in runs:
            found.append({"scenario": scenario, "run": run, "worlds": len(same)} | verdict(_pool(same, run)))
    return found


def _pool(worlds: Sequence[Figures], run: str) -> Pool:
    """What the verdict is on: the time in which batch models can be compared; if that has too few outcomes, all."""
    pool = Pool(worlds, run)
    if min(pool.left, pool.stayed) >= LEFT_MIN or not all(world["runs"][run]["second_month"] for world in worlds):
        return pool
    early = Pool(worlds, run, early=True)
    return early if min(early.left, early.stayed) >= LEFT_MIN else pool


def verdict(pool: Pool) -> Figures:
    """The verdict on one run in worlds of one scenario, without their names."""
    grade = _grade(pool)
    return {
        "grade": grade,
        "headline": _headline(pool, grade),
        "in_short": list(in_short(pool)),
        "ranking": [*_ranking(pool), *from_second_month(pool)],
        "probabilities": list(_probabilities(pool)),
        "bands": [_band_row(band) for band in pool.bands()],
        "calls": list(_calls(pool)),
        "limits": list(_limits(pool, grade)),
        "basis": list(_basis(pool)),
    }


def _grade(pool: Pool) -> str:
    if not pool.left:
        return "nobody"
    if min(pool.left, pool.stayed) < LEFT_MIN or pool.roc_auc is None:
        return "too_few"
    if interval(pool.roc_auc)[0] <= 0.5:
        return "chance"
    rule = pool.above(SILENCE)
    if rule is not None and interval(rule)[1] < 0:
        return "worse_than_rule"
    if rule is None or interval(rule)[0] <= 0:
        return "as_rule"
    return "rank_only" if _wrong(pool) else "act"


def _headline(pool: Pool, grade: str) -> str:
    text = HEADLINES[grade]
    if grade == "too_few":
        few, what = min((pool.left, "left"), (pool.stayed, "stayed for a while"))
        return f"{text} Only {few:,} of {pool.accounts:,} accounts {what}; with fewer than {LEFT_MIN} all is luck."
    if grade == "rank_only" and not _off(pool):
        wrong = [f"those of {band.name} are {_side(band)}" for band in _off_parts(pool.bands())]
        wrong += ["at times all were off"] if _off_parts(pool.times()) else []
        text = f"Good enough to decide whom to call, but not all of its percentages are right: {', '.join(wrong)}."
    beside = pool.calls_above_rule()
    if grade in {"act", "rank_only"} and beside is not None and interval(beside)[0] <= 0:
        better = "does better" if interval(beside)[1] < 0 else "does as well, as far as these outcomes can tell"
        text += f" To fill a list of the riskiest 10%, a rule of thumb (longest silent first) {better}."
    return text


def _ranking(pool: Pool) -> Iterator[str]:
    auc = pool.roc_auc
    if auc is None:
        yield "How well it ranks is unknown: that takes accounts that left and accounts that stayed."
        return
    yield (
        "Take an account that left and one that stayed: the one that left had been given the higher risk in"
        f" {auc.value:.0%} of all cases (ROC-AUC {auc.value:.3f}, 95% interval {_range(auc)}; chance is 0.5)."
    )
    names = {SILENCE: "ordering by days since the last activity, longest first"}
    names |= {rival: f"{BATCH_NAMES[rival]} refitted every 28 days" for rival in BATCH}
    for rival, name in names.items():
        above = pool.above(rival)
        if above is None:
            continue
        low, high = interval(above)
        how = (
            "better than"
            if low > 0
            else "worse than"
            if high < 0
            else "neither better nor worse, for all one can tell, than"
        )
        yield (
            f"On the same scores this is {how} {name}, with {auc.value - above.value:.3f}: the difference is"
            f" {above.value:+.3f} ({_range(above, '+.3f')})."
        )
    if pool.best_peer() is None:
        yield "There is no comparison with LightGBM or another batch model: too few outcomes were known to fit it."


def _off(pool: Pool) -> bool:
    """Whether the mean risk is wrong by more than chance and by more than what matters."""
    if pool.gap is None or not pool.observed:
        return False
    return abs(pool.mean_risk / pool.observed - 1) > RATIO_OFF_MAX and abs(pool.gap.value) > Z_95 * pool.gap.error


def _off_parts(parts: Sequence[Part]) -> list[Part]:
    """Those whose risks are wrong, by more than chance and by more than what matters."""
    return [
        part
        for part in parts
        if part.gap is not None
        and part.accounts >= PART_ACCOUNTS_MIN
        and abs(part.gap.value)
        > max(PART_ERRORS_MIN * part.gap.error, PART_OFF_MAX, PART_OFF_SHARE_MAX * part.mean_risk)
    ]


def _wrong(pool: Pool) -> bool:
    """Whether the percentages are wrong: on the whole, in a band, or at a time."""
    return _off(pool) or bool(_off_parts(pool.bands())) or bool(_off_parts(pool.times()))


def _side(part: Part) -> str:
    return "too high" if part.mean_risk > part.left else "too low"


def _probabilities(pool: Pool) -> Iterator[str]:
    sums = f"{pool.mean_risk:.1%} were expected to leave within {pool.horizon_days} days, {pool.observed:.1%} did"
    if not pool.observed:
        yield f"Whether the percentages are right is unknown: {pool.mean_risk:.1%} were expected to leave, nobody did."
        return
    if pool.left < LEFT_MIN:
        yield f"These are too few to judge whether the percentages are right: {sums}."
        return
    if _off(pool):
        side = "high" if pool.mean_risk > pool.observed else "low"
        yield f"On the whole the percentages are too {side} by {abs(pool.mean_risk / pool.observed - 1):.0%}: {sums}."
    else:
        unsure = abs(pool.mean_risk / pool.observed - 1) > RATIO_OFF_MAX
        how = "are not shown to be wrong, but these outcomes are too few to be sure" if unsure else "add up"
        yield f"On the whole the percentages {how}: {sums}."
    for band in _off_parts(pool.bands()):
        yield (
            f"{_side(band).capitalize()} in part: of those given {band.name} ({band.mean_risk:.0%} on average),"
            f" {band.left:.0%} left."
        )
    off = _off_parts(pool.times())
    if off:
        worst = sorted(off, key=lambda time: -abs(time.mean_risk - time.left))[:TIMES_SHOWN]
        examples = "; ".join(f"{time.name} {_side(time)}, {time.mean_risk:.0%} for {time.left:.0%}" for time in worst)
        yield f"Off in {len(off)} of {len(pool.times())} times of 60 days: {examples}."


def _band_row(band: Part) -> Figures:
    low, high = interval(band.gap) if band.gap is not None else (None, None)
    return {
        "given": band.name,
        "mean_risk": band.mean_risk,
        "mean_true_risk": band.true,
        "left": band.left,
        "left_low": None if low is None else max(0.0, band.mean_risk + low),
        "left_high": None if high is None else min(1.0, band.mean_risk + high),
        "examples": band.examples,
        "accounts": band.accounts,
    }


def _calls(pool: Pool) -> Iterator[str]:
    model, rule = pool.calls("model"), pool.calls("rule")
    if model is None or rule is None:
        yield "What calling the riskiest would have met is unknown: no list is old enough."
        return
    within = f"within {pool.horizon_days} days"
    new = "" if model.new_a_monday is None else f", {model.new_a_monday:.0f} of them not on the list of the week before"
    yield (
        f"Every Monday the riskiest 10% are {_count(model.a_monday, 'account')}{new}."
        f" {_share(model.followed, model.calls)} of those on the list left {within}; of all accounts,"
        f" {pool.observed:.0%}; of a list of the longest silent, {_share(rule.followed, rule.calls)}."
    )
    if not model.cancellations:
        yield f"Nobody left whose {pool.horizon_days} days before were all judged: what lists catch is unknown."
        return
    low, high = wilson_interval(model.caught, model.cancellations)
    half = "" if model.median_days is None else f" Half of these were on it {model.median_days} days ahead or more."
    yield (
        f"Of {_count(model.cancellations, 'cancellation')}, {_share(model.caught, model.cancellations)} ({low:.0%} to"
        f" {high:.0%}) had been on a list {within} before.{half} At least {IN_TIME_DAYS} days ahead:"
        f" {_share(model.caught_ahead(IN_TIME_DAYS), model.cancellations)} of all. Lists of the longest silent would"
        f" have had {_share(rule.caught, rule.cancellations)}."
    )


def _limits(pool: Pool, grade: str) -> Iterator[str]:
    """What it is not good enough for."""
    if grade in {"nobody", "too_few"}:
        yield "Any decision that rests on these scores alone: wait for more outcomes, or evaluate a longer log."
    elif grade in {"chance", "worse_than_rule"}:
        yield "Deciding whom to call: go by who has been silent longest until this changes."
    elif grade == "as_rule":
        yield "Replacing a rule that you have: both serve about as well, and a rule is easier to explain."
    if _wrong(pool):
        yield "Adding up revenue at risk, or weighing a risk against the cost of an offer: the percentages are off."
    peer = pool.best_peer()
    batch = None if peer is None else pool.above(peer)
    if batch is not None and interval(batch)[1] < 0:
        yield f"Getting the most out of these features: a model refitted monthly ranks better by {-batch.value:.3f}."
    yield from _limits_of_calls(pool.calls("model"))
    before, after = (pool.segment(name, "roc_auc") for name in ("before", "after_60d"))
    if before is not None and after is not None and before - after > FALL_MIN:
        yield f"The 60 days after a change such as the one here: ROC-AUC {before:.3f} before, {after:.3f} in them."
    yield (
        "Knowing whom a call would keep: who is likely to leave is not yet who can be persuaded. c360 interventions"
        " compares accounts that were contacted with others."
    )
    if any("seed" in world["world"] for world in pool.worlds):
        yield "Your customers: this company is simulated. c360 evaluate --log-dir judges your own log."


def _limits_of_calls(calls: Calls | None) -> Iterator[str]:
    if calls is None:
        return
    stay = round(10 * (1 - calls.followed / calls.calls))
    if stay:
        yield f"Being sure of one account: of ten on the list about {stay} would have stayed anyway."
    if calls.cancellations and calls.caught < calls.cancellations:
        missed = _share(calls.cancellations - calls.caught, calls.cancellations)
        yield f"Catching everybody: {missed} of those that left had not been on the list."
    if calls.median_days is not None and calls.median_days < LATE_DAYS:
        yield f"Measures that take weeks: half of those caught first came on the list {calls.median_days} days ahead."


def _basis(pool: Pool) -> Iterator[str]:
    worlds = f", in {len(pool.worlds)} companies" if len(pool.worlds) > 1 else ""
    yield (
        f"By {pool.examples:,} risks of {_count(pool.accounts, 'account')}{worlds}, one a week each from"
        f" {pool.first_day} to {pool.last_day}; {_count(pool.left, 'account')} left within {pool.horizon_days} days of"
        " one."
    )
    yield (
        "All out of sample: the log was replayed as the live flow would have met it, each risk was stored before its"
        " outcome could be known, and learnt from outcomes known by then. Nothing was fitted to what is judged here."
    )
    yield f"Intervals (95%) take all scores of an account together: one cancellation settles many. {_begin(pool)}"


def _begin(pool: Pool) -> str:
    """From when on is judged."""
    if not pool.early and pool.best_peer() is not None:
        return "The time before LightGBM can first be fitted is not judged here, for anybody."
    return "All from the second month on is judged: a batch model came too late, or never, to wait for it."


def _range(estimate: Estimate, form: str = ".3f") -> str:
    low, high = interval(estimate)
    return f"{low:{form}} to {high:{form}}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"


def _count(number: float, what: str) -> str:
    return f"{number:,.0f} {what}{'' if round(number) == 1 else 's'}"
