"""Has the relation between features and churn changed? Who leaves, against who was expected to, by feature."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import HAZARD_DAYS_MAX
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import WINDOW_DAYS_MAX
from c360_stream.monitoring.alarms import NORMAL, AlarmLatch, day_text, drift_alarm, level
from c360_stream.monitoring.drift import DRIFT_BY_NATURE
from c360_stream.monitoring.histograms import COARSE_BINS, Counts, coarse_bins, coarse_bound
from c360_stream.monitoring.seasons import NO_SEASONS, Seasons
from c360_stream.monitoring.tick_stats import MONDAY
from c360_stream.state.fields import Kept, fields

METHOD = "observed_to_expected"
# Lengths of the current window, in weeks: a sharp change shows in the short window, a slow one in the long.
CURRENT_WEEKS = (3, 6)
# Weeks before them that they are compared with.
REFERENCE_WEEKS_MIN, REFERENCE_WEEKS_MAX = 8, 39
# Standard errors. In 63 years of outcomes drawn from the risks themselves 4 was passed in one, 4.25 never.
Z_WARNING, Z_CRITICAL, Z_CLEAR = 4.5, 6.0, 3.0
# How much more often than expected a group has to leave for that to be material, and how many have to.
RATIO_MIN, CHURNED_MIN = 1.5, 10
# Where a feature is cut in two: these shares of the reference, each moved to the nearest edge of a bin.
_CUTS = (0.2, 0.35, 0.5, 0.65, 0.8)
# A group that is smaller than this share of the reference, or the rest, is not looked at.
_SHARE_MIN = 0.1
# A reference in which a group left less often than this share of its risks is taken for that share: a model that
# overrated it then, and has come right since, is no change of the world.
_REFERENCE_SHARE_MIN = 0.8
_NAMED_MAX = 3
_RISK_MAX = 0.999
_ACTION = "a fresh challenger is begun if the settings allow; expect miscalibrated risks until the model has adapted"

_CELLS = COARSE_BINS + 1  # the last counts nulls
_OFFSETS = np.arange(len(FEATURES)) * _CELLS


class Group(NamedTuple):
    """Accounts on one side of a cut of a feature.

    Parameters
    ----------
    feature
        Empty for all accounts.
    where
        The condition, in words.
    z
        Change in standard errors: above 0 if they leave more often than before.
    before, now
        Churners for each that was expected, in the reference and in the current weeks.
    churned
        Churners in the current weeks.
    """

    feature: str
    where: str
    z: float
    before: float
    now: float
    churned: int


class Comparison(NamedTuple):
    """The last weeks with those before: all accounts, and the groups that leave materially more, strongest first."""

    weeks: int
    everybody: Group
    groups: list[Group]

    @property
    def z(self) -> float:
        """Of the strongest group."""
        return self.groups[0].z if self.groups else 0.0


# Rows, churners and expected churners by cell, of which only the cells in use are kept.
_Week = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], Floats]


class ConceptDrift(Kept):
    """Compares churners with what the risks led to expect, by feature, in the last weeks and before.

    It looks at the week-old examples (see `LabelLedger`): each cancellation settles one of them, within a week. A
    matured label takes the horizon and comes with eight that have the same outcome. A week is given its share of a
    horizon's risk; that this is rough does not matter, since the reference shows how many then left.

    State: three numbers for each cell in use, feature and week, at most 45 weeks; about 0.5 MB.

    Parameters
    ----------
    horizon_days, stride_days
        Of the labels, and between the examples of one account. At a stride below a week these overlap, and
        a cancellation settles several: standard errors are then those of as many times fewer.
    seasons
        Declared times of other usage: examples whose features look back on one are left out.
    """

    kept = fields(_model=str, _began_day=int, _weeks=deque[_Week], _rows=Counts, _churned=Counts, _expected=Floats)

    def __init__(self, horizon_days: int = 60, stride_days: int = 7, seasons: Seasons = NO_SEASONS) -> None:
        self._seasons = seasons
        hazard_days = min(HAZARD_DAYS_MAX, horizon_days)
        self._overlap = math.ceil(hazard_days / stride_days)
        self._hazard_share = hazard_days / horizon_days
        self._model = ""
        self._began_day = 0
        self._weeks: deque[_Week] = deque(maxlen=CURRENT_WEEKS[-1] + REFERENCE_WEEKS_MAX)
        self._begin_week()

    def _begin_week(self) -> None:
        size = len(FEATURES) * _CELLS
        self._rows, self._churned, self._expected = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size)

    @property
    def began_day(self) -> int:
        """Tick at which the last change was first alarmed; 0 before any."""
        return self._began_day

    def on_tick(
        self, day: int, model: str, week_old: ExampleBlock, risk: Floats, latch: AlarmLatch
    ) -> list[DriftAlarm]:
        """Take a tick's week-old examples, in canonical order; on Mondays look for a change.

        Parameters
        ----------
        day
            Of the tick, in days since the Unix epoch.
        model
            Whose risks they are. Another one than before starts afresh: what it has wrong is no change of the world.
        risk
            Its predictions at their as-of, shape (n,), NaN where it gave none.
        latch
            Remembers whether a change has been alarmed.
        """
        if model != self._model:
            latch.rises("concept_drift", self._model, NORMAL, cleared=True)
            self._model = model
            self._weeks.clear()
            self._begin_week()
        self._count(week_old, risk)
        if day % 7 != MONDAY:
            return []
        used = np.flatnonzero(self._rows)
        columns = (self._rows[used].astype(np.int32), self._churned[used].astype(np.int32), self._expected[used])
        if len(used) or self._weeks:  # a week without predictions is no reference
            self._weeks.append((used.astype(np.int32), *columns))
        self._begin_week()
        return self._look(day, latch)

    def _count(self, week_old: ExampleBlock, risk: Floats) -> None:
        known = ~np.isnan(risk)
        if not known.any() or self._seasons.touch(int(week_old.as_of_day[0]), WINDOW_DAYS_MAX):
            return
        cells = _cells(week_old.features[known]) + _OFFSETS
        churned = week_old.churned[known]
        np.add.at(self._rows, cells.ravel(), 1)
        np.add.at(self._churned, cells[churned].ravel(), 1)
        hazard = self._hazard_share * np.array([-math.log1p(-min(p, _RISK_MAX)) for p in risk[known].tolist()])
        np.add.at(self._expected, cells.ravel(), np.repeat(hazard, len(FEATURES)))

    def _look(self, day: int, latch: AlarmLatch) -> list[DriftAlarm]:
        tried = [each for each in map(self._compare, CURRENT_WEEKS) if each is not None]
        if not tried:
            return []
        found = max(tried, key=lambda each: each.z)
        reached = level(found.z, Z_WARNING, Z_CRITICAL)
        worse = latch.holds("concept_drift")
        if not latch.rises("concept_drift", self._model, reached, cleared=found.z < Z_CLEAR):
            return []
        self._began_day = self._began_day if worse else day
        return [
            drift_alarm(
                day * US_PER_DAY,
                "concept_drift",
                self._model,
                METHOD,
                statistic=found.z,
                threshold=(Z_WARNING, Z_CRITICAL)[reached - 1],
                level=reached,
                action=_ACTION,
                detail=_sentence(found, day),
            )
        ]

    def _compare(self, weeks: int) -> Comparison | None:
        """The last `weeks` with those before; None while there is too little."""
        history = list(self._weeks)
        reference, current = history[-weeks - REFERENCE_WEEKS_MAX : -weeks], history[-weeks:]
        if len(reference) < REFERENCE_WEEKS_MIN:
            return None
        before, now = _totals(reference), _totals(current)
        if not before[1][0].any() or not now[0].any():
            return None
        everybody, *parts = _groups(before, now, self._overlap)
        moved = [
            each for each in (everybody, *parts) if each.z > 0 and each.churned >= CHURNED_MIN and each.now >= RATIO_MIN
        ]
        return Comparison(weeks, everybody, sorted(moved, key=lambda each: -each.z))


# Rows, churners and expected churners, each of shape (features, cells).
_Totals = tuple[Counts, Counts, Floats]


def _cells(features: Floats) -> Counts:
    null = np.isnan(features)
    return np.where(null, COARSE_BINS, coarse_bins(np.where(null, 0.0, features).ravel()).reshape(features.shape))


def _totals(weeks: list[_Week]) -> _Totals:
    size = len(FEATURES) * _CELLS
    rows, churned, expected = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size)
    for used, rows_then, churned_then, expected_then in weeks:
        rows[used] += rows_then
        churned[used] += churned_then
        expected[used] += expected_then
    shape = len(FEATURES), _CELLS
    return rows.reshape(shape), churned.reshape(shape), expected.reshape(shape)


def _groups(before: _Totals, now: _Totals, overlap: int) -> Iterator[Group]:
    """All accounts, and either side of every cut of every feature that time itself does not move.

    The first accounts to reach an age, or a renewal, are new to the model, though the world is as it was.
    """
    expected_in_all = float(before[2][0].sum())
    scale = max(float(before[1][0].sum()), _REFERENCE_SHARE_MIN * expected_in_all) / expected_in_all
    whole = np.ones(_CELLS, np.bool_)
    columns = [column for column, feature in enumerate(FEATURES) if feature not in DRIFT_BY_NATURE]
    cuts = [(0, "", whole), *((column, *side) for column in columns for side in _sides(before[0][column]))]
    for column, where, side in cuts:
        churned_before, expected_before, churned, expected = (
            float(part[column][side].sum()) for part in (*before[1:], *now[1:])
        )
        churned_before = max(churned_before, _REFERENCE_SHARE_MIN * expected_before)
        if expected_before and expected:
            yield Group(
                FEATURES[column] if where else "",
                where,
                signed_root(churned, expected, churned_before, expected_before) / math.sqrt(overlap),
                churned_before / (scale * expected_before),
                churned / (scale * expected),
                int(churned),
            )


def _sides(rows: Counts) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The groups that a feature's cuts make, by the rows of the reference: in words, and as cells."""
    values, total = np.cumsum(rows[:-1]), int(rows.sum())
    cells = np.arange(_CELLS)
    if _SHARE_MIN * total <= rows[-1] <= (1 - _SHARE_MIN) * total:
        yield "null", cells == COARSE_BINS
    cuts = {int(np.argmin(np.abs(values - share * values[-1]))) for share in _CUTS}
    for cut in sorted(cuts):
        if _SHARE_MIN * values[-1] <= values[cut] <= (1 - _SHARE_MIN) * values[-1]:
            bound = _number(coarse_bound(cut))
            yield ("0" if bound == "0" else f"below {bound}"), cells <= cut
            yield f"{'above' if bound == '0' else 'from'} {bound}", (cells > cut) & (cells < COARSE_BINS)


def signed_root(churned: float, expected: float, churned_before: float, expected_before: float) -> float:
    """Signed root of the likelihood ratio of two Poisson counts whose means go with what was expected.

    Given their sum, a count is binomial with its share of what was expected, so the scale of that cancels; about
    standard normal if nothing has changed.

    >>> round(signed_root(20, 10, 100, 100), 2), signed_root(10, 10, 100, 100)
    (2.62, 0.0)

    References
    ----------
    Przyborowski and Wilenski, "Homogeneity of results in testing samples from Poisson series", Biometrika 31, 1940.
    """
    mean = (churned + churned_before) * expected / (expected + expected_before)
    mean_before = churned + churned_before - mean
    ratio = sum(n * math.log(n / m) for n, m in ((churned, mean), (churned_before, mean_before)) if n)
    return math.copysign(math.sqrt(max(2 * ratio, 0.0)), churned - mean)


def _number(value: float) -> str:
    """A bound, for a sentence; the first above zero stands for zero."""
    if value == coarse_bound(int(coarse_bins(np.zeros(1))[0])):
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _sentence(found: Comparison, day: int) -> str:
    """The strongest groups, one per feature: windows of 7, 14 and 30 days of one measure count as one."""
    named: dict[str, Group] = {}
    for group in found.groups:
        named.setdefault(group.feature.rstrip("0123456789d").rstrip("_"), group)
    first, *others = [each for each in named.values() if each.z >= min(Z_CLEAR, found.z)][:_NAMED_MAX]
    texts = [
        f"Accounts{_with(first)} cancelled {first.now:.1f} times as often as expected in the {found.weeks} weeks to "
        f"{day_text(day)} (before: {first.before:.1f} times)",
        *(f"those{_with(each)} {each.now:.1f} times ({each.before:.1f})" for each in others if each.feature),
        *([f"all accounts {found.everybody.now:.1f} times"] if first.feature else []),
    ]
    return ", ".join(texts) + "."


def _with(group: Group) -> str:
    return f" with {group.feature} {group.where}" if group.feature else ""
