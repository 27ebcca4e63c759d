"""Reasons and moves of one row as loops over its topics, value by value: what the arrays have to give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from c360_stream.features.definitions import FEATURES, GROUPS, SPECS, Tone
from c360_stream.scoring.facts import fact
from c360_stream.scoring.reasons import CONTRIBUTION_MIN, MODEL, MOVE_MIN, NO_TOPIC

Values = Sequence[float | None]


class PlainReason(NamedTuple):
    """A reason or a mitigation."""

    feature: str
    value: float | None
    contribution: float
    text: str


def plain_reasons(
    values: Values, parts: Sequence[float], needed: bool, most: int = 3
) -> tuple[list[PlainReason], list[PlainReason]]:
    """Reasons and mitigations of a row; values are None for null."""
    by_direction: dict[int, list[PlainReason]] = {1: [], -1: []}
    raising_together = 0.0
    for group in GROUPS:
        columns = [column for column, spec in enumerate(SPECS) if spec.group == group]
        part = 0.0
        for column in columns:
            part += parts[column]
        raising_together += max(part, 0.0)
        if abs(part) < CONTRIBUTION_MIN:
            continue
        way = 1 if part > 0 else -1
        teller = _teller(columns, values, parts, way)
        if teller is not None:
            text, tone = fact(teller, values[teller])
            how = "" if tone else f" (such accounts leave {'more' if way > 0 else 'less'} often)"
            by_direction[way].append(PlainReason(FEATURES[teller], values[teller], part, text + how))
    actionable = {spec.name: spec.actionable for spec in SPECS}
    reasons = sorted(by_direction[1], key=lambda each: (not actionable[each.feature], -each.contribution))[:most]
    if needed and not reasons and raising_together >= CONTRIBUTION_MIN:
        reasons = [PlainReason(MODEL, None, raising_together, NO_TOPIC)]
    return reasons, sorted(by_direction[-1], key=lambda each: each.contribution)[:most]


class Moved(NamedTuple):
    """What moved a score."""

    feature: str
    before: float | None
    value: float | None
    contribution: float
    text: str


def plain_moves(before: Values, now: Values, parts: Sequence[float], model_part: float, most: int = 3) -> list[Moved]:
    """What moved a row's score, without the one that is kept however weak."""
    found = []
    for group in GROUPS:
        columns = [column for column, spec in enumerate(SPECS) if spec.group == group]
        part = 0.0
        for column in columns:
            part += parts[column]
        way = 1 if part > 0 else -1
        agreeing = [c for c in columns if _change(c, before[c], now[c]) == -way]
        neutral = [
            c
            for c in columns
            if before[c] != now[c]
            and _change(c, before[c], now[c]) == 0
            and parts[c] * way > 0
            and (way > 0 or SPECS[c].bad is None)
        ]
        implying = [c for c in agreeing if way > 0 and SPECS[c].bad_represents_group]
        for candidates in (implying, agreeing, neutral):
            if candidates:
                column = max(candidates, key=lambda c: parts[c] * way)
                text, then = fact(column, now[column])[0], fact(column, before[column])[0]
                note = f"{'raises' if way > 0 else 'lowers'} the risk; " * (candidates is neutral)
                whole = f"{text} ({note}before: {then})" if text != then else ""
                found.append(Moved(FEATURES[column], before[column], now[column], part, whole))
                break
    learnt = f"The model has learnt since then ({'raises' if model_part > 0 else 'lowers'} the risk)"
    found.append(Moved(MODEL, None, None, model_part, learnt))
    strongest = sorted(found, key=lambda each: -abs(each.contribution))[:most]
    return [each for each in strongest if abs(each.contribution) >= MOVE_MIN and each.text]


def _change(column: int, before: float | None, now: float | None) -> int:
    """1 for the better, -1 for the worse, 0 for neither."""
    spec = SPECS[column]
    if before is None or now is None:
        then, there = spec.tone(before), spec.tone(now)
        return (there > then) - (there < then)
    if spec.bad is None:
        return 0
    return (now > before) - (now < before) if spec.bad == "low" else (now < before) - (now > before)


def _teller(columns: list[int], values: Values, parts: Sequence[float], way: int) -> int | None:
    """The feature that tells a topic which raises (1) or lowers (-1) the risk; None if none can."""
    fitting = [column for column in columns if SPECS[column].tone(values[column]) == -way]
    implying = [column for column in fitting if way > 0 and SPECS[column].bad_represents_group]
    neutral = [
        column
        for column in columns
        if SPECS[column].tone(values[column]) is Tone.NEUTRAL
        and parts[column] * way > 0
        and (way > 0 or SPECS[column].bad is None)
    ]
    for candidates in (implying, fitting, neutral):
        if candidates:
            return max(candidates, key=lambda column: parts[column] * way)
    return None
