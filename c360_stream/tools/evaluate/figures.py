"""Figures of stored risks against outcomes and, where there is truth, against the true risks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.monitoring.profit import Campaign
from c360_stream.monitoring.quality import Z_95, measure, reliability, roc_auc
from c360_stream.tools.evaluate import clusters
from c360_stream.tools.evaluate.matured import iso

BLOCK_DAYS = 60
MOVING_DAYS = 28
RECOVERED_SHARE = 0.985
ORDER_MEASURES = ("roc_auc", "roc_auc_skipped", "pr_auc", "precision_at_recall_80", "lift_top_decile")
"""What an order has that is no risk."""
_CURVE_POINTS = 100

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """Examples that every scorer is judged on, n rows in canonical order.

    Parameters
    ----------
    as_of_day, churned, true_risk, mrr_cents, account
        Shape (n,); the true risk is None without truth, the MRR at the as-of NaN where it is unknown, the account a
        number.
    first_day, last_day
        Of the as-ofs that are judged.
    change
        Day of the change; None if there is none.
    horizon_days
        Of the labels.
    """

    as_of_day: NDArray[np.int64]
    churned: Flags
    true_risk: Floats | None
    mrr_cents: Floats
    account: NDArray[np.int64]
    first_day: int
    last_day: int
    change: int | None
    horizon_days: int

    @property
    def segments(self) -> dict[str, tuple[int, int]]:
        """Name -> first and last as-of day."""
        found = {"all": (self.first_day, self.last_day)}
        if self.change is not None:
            found["before"] = (self.first_day, self.change - self.horizon_days)
            found["after_60d"] = (self.change, self.change + BLOCK_DAYS - 1)
            found["late"] = (self.change + BLOCK_DAYS, self.last_day)
        return found

    @property
    def blocks(self) -> list[tuple[int, int, int]]:
        """Number, first and last as-of day of the blocks: block 0 begins with the change, or with the first day."""
        origin = self.first_day if self.change is None else self.change
        numbers = range((self.first_day - origin) // BLOCK_DAYS, (self.last_day - origin) // BLOCK_DAYS + 1)
        return [(k, origin + k * BLOCK_DAYS, origin + (k + 1) * BLOCK_DAYS - 1) for k in numbers]

    def rows(self, first: int, last: int) -> NDArray[np.int64]:
        """Rows of the as-ofs from `first` to `last`."""
        begin, end = np.searchsorted(self.as_of_day, [first, last + 1])
        return np.arange(begin, end)

    def of(self, rows: NDArray[np.int64]) -> Judged:
        """Some of the rows, ascending, one at least."""
        days = self.as_of_day[rows]
        return replace(
            self,
            as_of_day=days,
            churned=self.churned[rows],
            true_risk=None if self.true_risk is None else self.true_risk[rows],
            mrr_cents=self.mrr_cents[rows],
            account=self.account[rows],
            first_day=int(days[0]),
            last_day=int(days[-1]),
        )


def expected_roc_auc(true_risk: Floats, risk: Floats) -> float:
    """ROC-AUC to be expected if outcomes are drawn from `true_risk`: free of the luck of the draw; NaN if undefined.

    Every pair of rows counts with the probability that the first churns and the second does not.

    >>> round(expected_roc_auc(np.array([1.0, 0.0, 0.0]), np.array([0.3, 0.2, 0.4])), 6)
    0.5
    """
    if len(risk) < 2:
        return float("nan")
    _, place = np.unique(risk, return_inverse=True)
    churns = np.bincount(place, true_risk)
    stays = np.bincount(place, 1.0 - true_risk)
    itself = float(np.sum(true_risk * (1.0 - true_risk)))
    below = np.cumsum(stays) - stays
    right = float(np.sum(churns * (below + stays / 2))) - itself / 2
    pairs = float(true_risk.sum() * (1.0 - true_risk).sum()) - itself
    return right / pairs if pairs > 0 else float("nan")


def calibration(churned: Flags, risk: Floats, account: NDArray[np.int64]) -> dict[str, float | None]:
    """Mean risk, share that churned, and their ratio with a 95% interval, all examples of an account taken together.

    The interval is that of the share, which the mean risk is divided by.
    """
    mean_risk, rate = float(risk.mean()), float(churned.mean())
    found = {"mean_risk": mean_risk, "observed_rate": rate, "calibration_ratio": mean_risk / rate if rate else None}
    gap = clusters.rate_gap(churned, risk, account)
    low, high = (None, None) if gap is None else (rate - Z_95 * gap.error, rate + Z_95 * gap.error)
    found["calibration_ratio_low"] = mean_risk / high if high else None
    found["calibration_ratio_high"] = mean_risk / low if low is not None and low > 0 else None
    return found


def segment(judged: Judged, risk: Floats, first: int, last: int, *, order: bool = False) -> dict[str, Any]:
    """All measures of the as-ofs from `first` to `last`; see `quality.measure` for their names.

    With truth also `calibration_ratio_true`, mean risk over mean true risk, and `expected_roc_auc`. The only interval
    is that of the calibration ratio: `quality` takes examples as independent, which those of an account are not. Of an
    order that is no risk there is what only looks at ranks.
    """
    rows = judged.rows(first, last)
    churned, predicted = judged.churned[rows], risk[rows]
    found: dict[str, Any] = {
        "first_day": iso(first),
        "last_day": iso(last),
        "examples": len(rows),
        "churners": int(churned.sum()),
    }
    if not len(rows):
        return found
    measures = {each.metric: each.value for each in measure("all", churned, predicted)}
    if order:
        return found | {name: measures[name] for name in ORDER_MEASURES if name in measures}
    found |= {name: value for name, value in measures.items() if not name.endswith(("_low", "_high"))}
    found |= calibration(churned, predicted, judged.account[rows])
    if judged.true_risk is not None:
        true_risk = judged.true_risk[rows]
        found["mean_true_risk"] = float(np.mean(true_risk))
        found["calibration_ratio_true"] = found["mean_risk"] / found["mean_true_risk"]
        found["expected_roc_auc"] = expected_roc_auc(true_risk, predicted)
    return found


def scorer_figures(judged: Judged, risk: Floats, campaign: Campaign, *, order: bool = False) -> dict[str, Any]:
    """Everything about one scorer: its segments, blocks and curves; of an order, what only looks at ranks."""
    blocks = []
    for number, first, last in judged.blocks:
        whole = first >= judged.first_day and last <= judged.last_day
        inside = (max(first, judged.first_day), min(last, judged.last_day))
        blocks.append({"block": number, "whole": whole} | segment(judged, risk, *inside, order=order))
    found = {
        "segments": {name: segment(judged, risk, *days, order=order) for name, days in judged.segments.items()},
        "blocks": blocks,
        **_curves(judged.churned, risk),
    }
    return found if order else found | _of_risks(judged, risk, campaign)


def _of_risks(judged: Judged, risk: Floats, campaign: Campaign) -> dict[str, Any]:
    return {
        "reliability": [row._asdict() for row in reliability(judged.churned, risk)],
        "profit": _profit(judged, risk, campaign),
        "moving": _moving_points(judged, risk),
    }


def _curves(churned: Flags, risk: Floats) -> dict[str, Any]:
    """Of the lift: share contacted, share of the churned found. Of precision and recall: both, by threshold."""
    groups, place = np.unique(-risk, return_inverse=True)
    called = np.cumsum(np.bincount(place, minlength=len(groups)))
    found = np.cumsum(np.bincount(place[churned], minlength=len(groups)))
    if not len(groups) or not found[-1]:
        return {"gains": [], "precision_recall": []}
    at = np.unique(np.searchsorted(called, np.linspace(0, called[-1], _CURVE_POINTS + 1)[1:]))
    gains = [[0.0, 0.0], *np.stack([called[at] / called[-1], found[at] / found[-1]], axis=1).tolist()]
    recalls = np.unique(np.searchsorted(found, np.linspace(0, found[-1], _CURVE_POINTS + 1)[1:]))
    precision = np.stack([found[recalls] / found[-1], found[recalls] / called[recalls]], axis=1).tolist()
    return {"gains": gains, "precision_recall": precision}


def _profit(judged: Judged, risk: Floats, campaign: Campaign) -> dict[str, Any]:
    """Of a campaign on the riskiest: profit an account in cents by the share contacted, and the most to be had."""
    share, cents = campaign.curve(judged.churned, risk, judged.mrr_cents)
    at = np.unique(np.searchsorted(share, np.linspace(0, 1, _CURVE_POINTS + 1)))
    most = campaign.measures(judged.churned, risk, judged.mrr_cents)
    return {
        "curve": np.stack([share[at], cents[at]], axis=1).tolist(),
        **{each.metric: each.value for each in most},
    }


def _moving_points(judged: Judged, risk: Floats) -> list[dict[str, Any]]:
    """ROC-AUC over the last 28 days of as-ofs, every 7 days."""
    points = []
    for day in range(judged.first_day + MOVING_DAYS - 1, judged.last_day + 1, 7):
        rows = judged.rows(day - MOVING_DAYS + 1, day)
        churned, predicted = judged.churned[rows], risk[rows]
        point: dict[str, Any] = {"day": iso(day), "roc_auc": roc_auc(churned, predicted)}
        if judged.true_risk is not None:
            true_risk = judged.true_risk[rows]
            point["expected_roc_auc"] = expected_roc_auc(true_risk, predicted)
            point["calibration_ratio_true"] = (
                float(np.mean(predicted)) / float(np.mean(true_risk)) if len(rows) else None
            )
        points.append(point)
    return points


def recovery(judged: Judged, risk: Floats, best: Floats) -> dict[str, Any]:
    """Days from the change until the run is back at 0.985 of the best, for good and for the first time.

    Compared are ROC-AUCs over the same as-ofs: the last 28 days, none of them before the change. `expected_` compares
    the ROC-AUCs to be expected from the true risks, of which chance is no part. None: never, as far as the log goes.
    Nothing at all without a change, without truth, or if the change is not among the judged as-ofs.
    """
    if judged.change is None or judged.true_risk is None or not judged.first_day <= judged.change <= judged.last_day:
        return {}
    found: dict[str, Any] = {}
    days = range(judged.change, judged.last_day + 1)
    for prefix in ("", "expected_"):
        held = []
        for day in days:
            rows = judged.rows(max(judged.change, day - MOVING_DAYS + 1), day)
            truth = judged.true_risk[rows] if prefix else None
            own, most = (_auc(judged.churned[rows], truth, each[rows]) for each in (risk, best))
            held.append(not own < RECOVERED_SHARE * most)
        failed = [i for i, good in enumerate(held) if not good]
        found[f"{prefix}recovery_days"] = None if failed and failed[-1] == len(held) - 1 else (failed or [-1])[-1] + 1
        found[f"{prefix}first_reached_days"] = _first_after_fall(held)
    return found


def _auc(churned: Flags, true_risk: Floats | None, risk: Floats) -> float:
    return roc_auc(churned, risk) if true_risk is None else expected_roc_auc(true_risk, risk)


def _first_after_fall(held: list[bool]) -> int | None:
    """Index of the first true after the first false; 0 if there is no false, None if no true follows."""
    if all(held):
        return 0
    fall = held.index(False)
    return next((i for i in range(fall, len(held)) if held[i]), None)
