"""The label ledger: every example is pending, provisional, matured, corrected, or censored when the data end.

The label of (account, as-of): churned, if a cancellation has as-of <= occurred_at < as-of + horizon; not
churned, once the watermark reaches as-of + horizon without one; unknown (censored) until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.compact_matrix import CompactMatrix
from c360_stream.arrays.growth import grow_array
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.state.fields import PLAIN, Kept, dict_of, fields, stored_as, tuple_of

# Days after maturity during which a late cancellation still corrects a label.
CORRECTION_DAYS = 8
# Age at which an example is week-old: whether its account has cancelled is the label of the hazard scheme.
HAZARD_DAYS_MAX = 7
NONE, PENDING, STAYED, CHURNED = 0, 1, 2, 3


@dataclass(slots=True)
class KnownLabels:
    """Labels that became known (or were corrected): n rows, in no particular order.

    Parameters
    ----------
    account
        int32, shape (n,): index of the account in its shard.
    as_of_day
        int64, shape (n,): the as-of day.
    churned
        bool, shape (n,).
    """

    account: NDArray[np.int32]
    as_of_day: NDArray[np.int64]
    churned: NDArray[np.bool_]


@dataclass(slots=True)
class MaturedExamples:
    """Examples of one as-of with a label, with the features that were stored when they were taken.

    Parameters
    ----------
    as_of_day
        The as-of day they share.
    account
        int32, shape (n,): index of the account in its shard, ordered by account id.
    features
        float64, shape (n, features): stored at the as-of.
    churned
        bool, shape (n,).
    """

    as_of_day: int
    account: NDArray[np.int32]
    features: NDArray[np.float64]
    churned: NDArray[np.bool_]


@dataclass(slots=True)
class ObservedExamples:
    """Examples of one as-of whose longest horizon has passed.

    Parameters
    ----------
    as_of_day
        The as-of day they share.
    account
        int32, shape (n,): index of the account in its shard.
    cancelled_after
        int16, shape (n,): days from the as-of to the first cancellation, 1 within the first; 0 if there was none.
    """

    as_of_day: int
    account: NDArray[np.int32]
    cancelled_after: NDArray[np.int16]


@dataclass(slots=True)
class ClosedDay:
    """What advancing to a midnight made known.

    Parameters
    ----------
    known
        Labels of all as-ofs that were scored.
    matured
        The examples whose horizon has passed.
    week_old
        The examples that are `hazard_days` old; `churned`: whether their account has cancelled by then.
    churned_before_horizon
        The examples whose account has just cancelled, before their horizon has passed: provisional labels.
        One block per as-of.
    corrected
        As-of day and account of examples that had matured as stayed: a late cancellation contradicts that.
    late_days
        Of each cancellation that took effect: whole days by which it arrived late, 0 if on its day.
    fully_observed
        The examples that are `reach_days` old.
    """

    known: KnownLabels
    matured: MaturedExamples | None
    week_old: MaturedExamples | None
    churned_before_horizon: list[MaturedExamples]
    corrected: list[tuple[int, int]]
    late_days: list[int]
    fully_observed: ObservedExamples | None


class LabelLedger(Kept):
    """The labels of one shard's accounts.

    A ring of one byte per account and day holds what is known of each as-of; the stored features of the
    examples wait beside it. Memory: horizon + 9 bytes per account, some 100 bytes per example in flight, and 6
    bytes per example until it is fully observed.

    Parameters
    ----------
    horizon_days
        How far ahead of its as-of a label looks.
    reach_days
        Age at which an example is fully observed; the horizon or more. 0: never.
    """

    kept = fields(
        _status=NDArray[np.uint8],
        _cancelled=list[tuple[int, int]],
        _examples=dict_of(int, tuple_of(NDArray[np.int32], stored_as(PLAIN, attrgetter("columns"), CompactMatrix))),
        _matured=dict[int, NDArray[np.int32]],
        _unsettled=dict[int, tuple[NDArray[np.int32], NDArray[np.int16]]],
    )

    def __init__(self, horizon_days: int, reach_days: int = 0, capacity: int = 64) -> None:
        self.horizon_days = horizon_days
        self.reach_days = reach_days
        self._slots = horizon_days + CORRECTION_DAYS + 1
        self._status = np.zeros((self._slots, capacity), np.uint8)
        self._cancelled: list[tuple[int, int]] = []
        self._examples: dict[int, tuple[NDArray[np.int32], CompactMatrix]] = {}
        self._matured: dict[int, NDArray[np.int32]] = {}
        self._unsettled: dict[int, tuple[NDArray[np.int32], NDArray[np.int16]]] = {}

    @property
    def hazard_days(self) -> int:
        """Age of a week-old example: a week, or the horizon if that is shorter."""
        return min(HAZARD_DAYS_MAX, self.horizon_days)

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self._status = grow_array(self._status, accounts, NONE, axis=1)

    def cancelled(self, account: int, time_us: int) -> None:
        """Note a cancellation; it takes effect at the next `close`."""
        self._cancelled.append((account, time_us))

    def open(self, day: int, scored: NDArray[np.int32]) -> None:
        """Begin the as-of `day`: the accounts `scored` at it, shape (n,), have a pending label."""
        row = self._status[day % self._slots]
        row[:] = NONE
        row[scored] = PENDING

    def store(self, day: int, account: NDArray[np.int32], features: NDArray[np.float64]) -> None:
        """Keep an as-of's n examples until their labels are known.

        Parameters
        ----------
        account
            int32, shape (n,): index of the account in its shard, ordered by account id.
        features
            float64, shape (n, features).
        """
        if len(account):
            self._examples[day] = (account, CompactMatrix.of(features))
            if self.reach_days:
                self._unsettled[day] = (account, np.zeros(len(account), np.int16))

    def close(self, day: int) -> ClosedDay:
        """Advance to the midnight that opens `day`: give what has become known by it, and what has matured.

        To be called before `open(day)`. Cancellations noted so far lie before that midnight.
        """
        churned: list[MaturedExamples] = []
        corrected: list[tuple[int, int]] = []
        late_days = [max(0, day - 1 - time_us // US_PER_DAY) for _, time_us in self._cancelled]
        known = [self._apply_cancellations(day, churned, corrected)]
        due = day - self.horizon_days
        week_old = self._labelled(day - self.hazard_days)
        row = self._status[due % self._slots]
        stayed = np.flatnonzero(row == PENDING).astype(np.int32)
        row[stayed] = STAYED
        known.append(
            (stayed, np.full(len(stayed), due, np.int64), np.zeros(len(stayed), np.bool_)),
        )
        matured = self._labelled(due)
        if matured is not None:
            del self._examples[due]
            self._matured[due] = matured.account
        self._matured.pop(due - CORRECTION_DAYS - 1, None)
        labels = KnownLabels(*(np.concatenate(columns) for columns in zip(*known, strict=True)))
        observed = self._unsettled.pop(day - self.reach_days, None)
        # Left over where the settings have shortened the reach.
        self._unsettled = {as_of: kept for as_of, kept in self._unsettled.items() if as_of > day - self.reach_days}
        fully_observed = ObservedExamples(day - self.reach_days, *observed) if observed else None
        return ClosedDay(
            known=labels,
            matured=matured,
            week_old=week_old,
            churned_before_horizon=churned,
            corrected=corrected,
            late_days=late_days,
            fully_observed=fully_observed,
        )

    def labels_before_close(self, today: int) -> KnownLabels:
        """Labels that follow from the cancellations of the day in progress; the next `close` gives them again."""
        pairs = {
            (account, as_of)
            for account, time_us in self._cancelled
            for as_of in range(time_us // US_PER_DAY - self.horizon_days + 1, min(time_us // US_PER_DAY, today) + 1)
            if as_of > today + 1 - self._slots and self._status[as_of % self._slots][account] in (PENDING, STAYED)
        }
        account, as_of_day = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        return KnownLabels(account.astype(np.int32), as_of_day, np.ones(len(pairs), np.bool_))

    def _labelled(self, as_of: int) -> MaturedExamples | None:
        """The examples of an as-of with what is known of them so far."""
        if as_of not in self._examples:
            return None
        account, features = self._examples[as_of]
        churned = self._status[as_of % self._slots][account] == CHURNED
        return MaturedExamples(as_of, account, features.matrix(), churned)

    def _apply_cancellations(
        self, day: int, churned: list[MaturedExamples], corrected: list[tuple[int, int]]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
        accounts: list[int] = []
        days: list[int] = []
        oldest = day - self.horizon_days - CORRECTION_DAYS
        for account, time_us in self._cancelled:
            self._note_first_cancellation(account, time_us // US_PER_DAY)
            last = min(time_us // US_PER_DAY, day - 1)
            first = max(time_us // US_PER_DAY - self.horizon_days + 1, oldest)
            for as_of in range(first, last + 1):
                status = self._status[as_of % self._slots]
                if status[account] in (PENDING, STAYED):
                    status[account] = CHURNED
                    accounts.append(account)
                    days.append(as_of)
                    self._note(as_of, account, churned, corrected)
        self._cancelled.clear()
        return np.array(accounts, np.int32), np.array(days, np.int64), np.ones(len(days), np.bool_)

    def _note_first_cancellation(self, account: int, cancelled_day: int) -> None:
        """Note when an account cancelled first after each of its examples; cancellations may arrive out of order."""
        for as_of in range(cancelled_day - self.reach_days + 1, cancelled_day + 1):
            if as_of not in self._unsettled:
                continue
            among, after = self._unsettled[as_of]
            days = cancelled_day - as_of + 1
            rows = np.flatnonzero(among == account)
            after[rows] = np.where(after[rows] == 0, days, np.minimum(after[rows], days))

    def _note(self, as_of: int, account: int, churned: list[MaturedExamples], corrected: list[tuple[int, int]]) -> None:
        """If an account was an example of an as-of, its label is provisional, or corrected."""
        if as_of in self._examples:
            among, features = self._examples[as_of]
            row = np.flatnonzero(among == account)
            if len(row):
                churned.append(MaturedExamples(as_of, among[row], features.matrix(row), np.ones(1, np.bool_)))
        elif account in self._matured.get(as_of, ()):
            corrected.append((as_of, account))

    @property
    def pending(self) -> int:
        """Examples that wait for their label: censored, if the data end here."""
        return sum(len(account) for account, _ in self._examples.values())
