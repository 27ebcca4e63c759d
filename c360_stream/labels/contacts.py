"""Who was contacted: which examples are treated, and to which group of a comparison each belongs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.state.codec import Pages
from c360_stream.state.fields import Kept, fields, pages_of

NOT_CONTACTED = ""
UNNAMED = "unnamed"
# An example's group: a playbook, `NOT_CONTACTED`, or None where it is in no group.
Group = str | None


class Occurrence(NamedTuple):
    """A contact, with its playbook, or a cancellation. They compare in the order (time, event id)."""

    time_us: int
    event_id: str
    playbook: str = ""

    @property
    def day(self) -> int:
        """Days since the Unix epoch."""
        return self.time_us // US_PER_DAY


@dataclass(frozen=True, slots=True)
class Cohorts:
    """How examples are put into groups.

    The labels of one account overlap, so an account is in a comparison once per horizon as contacted (by its first
    contact then) and once as not contacted. A horizon is `turns` examples long.

    Parameters
    ----------
    horizon_days, stride_days
        Of the labels, and between the examples of one account.
    """

    horizon_days: int
    stride_days: int

    @property
    def turns(self) -> int:
        """Examples of one account in a horizon."""
        return math.ceil(self.horizon_days / self.stride_days)

    @property
    def window_days(self) -> int:
        """For so long after its as-of a contact makes an example a contacted one: until the account's next example.

        At most half the horizon, since what comes of a contact has to show in what is left of it.
        """
        return max(min(self.stride_days, self.horizon_days // 2), 1)

    def turn(self, phase: int, as_of_day: int) -> int:
        """Which example of its horizon this is, from 0; `phase` is the account's stable hash."""
        return (phase + as_of_day) // self.stride_days % self.turns


class _DailyFirsts(Kept):
    """Of each account and day, the occurrence that was first."""

    kept = fields(_oldest_day=int, _by_day=pages_of(list[tuple[int, Occurrence]]))

    def __init__(self) -> None:
        self._of: dict[int, dict[int, Occurrence]] = {}
        self._on: dict[int, list[int]] = {}
        self._oldest_day = 0

    def put(self, account: int, occurrence: Occurrence) -> None:
        day = occurrence.day
        if day < self._oldest_day:
            return
        days = self._of.setdefault(account, {})
        if day not in days:
            self._on.setdefault(day, []).append(account)
        days[day] = min(days.get(day, occurrence), occurrence)

    def first(self, account: int, from_day: int, until_day: int) -> Occurrence | None:
        days = self._of.get(account)
        if days is None:
            return None
        inside = [day for day in days if from_day <= day < until_day]
        return days[min(inside)] if inside else None

    def forget(self, oldest_day: int) -> None:
        """Forget the days before `oldest_day`, and ignore them from now on."""
        self._oldest_day = max(self._oldest_day, oldest_day)
        for day in [day for day in self._on if day < oldest_day]:
            for account in self._on.pop(day):
                del self._of[account][day]
                if not self._of[account]:
                    del self._of[account]

    @property
    def _by_day(self) -> Pages[list[tuple[int, Occurrence]]]:
        """Accounts and occurrences, a page per day: hardly any but the last changes."""
        days = sorted(self._on)
        return Pages(lambda: ([(account, self._of[account][day]) for account in self._on[day]] for day in days))

    @_by_day.setter
    def _by_day(self, pages: list[list[tuple[int, Occurrence]]]) -> None:
        for account, occurrence in chain.from_iterable(pages):
            self.put(account, occurrence)


class Contacts(Kept):
    """First contact and first cancellation of each account and day, of the last `keep_days` days.

    Every window begins and ends at a midnight, so no other contact of a day can matter. What is kept neither depends on
    the order of arrival nor grows with the number of contacts. Bound: `keep_days` of either per account.

    Parameters
    ----------
    keep_days
        Days that windows reach back.

    Examples
    --------
    >>> contacts = Contacts(keep_days=60)
    >>> contacts.contacted(0, Occurrence(10 * US_PER_DAY, "e1", "check_in"))
    >>> contacts.contacted(0, Occurrence(12 * US_PER_DAY, "e2", "training"))
    >>> contacts.first(0, 9, 16).playbook, contacts.first(0, 11, 16).playbook, contacts.first(0, 13, 16)
    ('check_in', 'training', None)
    """

    kept = fields(_contacts=_DailyFirsts, _cancellations=_DailyFirsts)

    def __init__(self, keep_days: int) -> None:
        self._keep_days = keep_days
        self._contacts = _DailyFirsts()
        self._cancellations = _DailyFirsts()

    def contacted(self, account: int, contact: Occurrence) -> None:
        """Note a contact; any order."""
        self._contacts.put(account, contact)

    def cancelled(self, account: int, cancellation: Occurrence) -> None:
        """Note a cancellation; any order."""
        self._cancellations.put(account, cancellation)

    def open_day(self, day: int) -> None:
        """Forget what no window reaches any more."""
        for firsts in (self._contacts, self._cancellations):
            firsts.forget(day - self._keep_days)

    def first(self, account: int, from_day: int, until_day: int) -> Occurrence | None:
        """The first contact in [from_day, until_day) that came before any cancellation from `from_day` on."""
        contact = self._contacts.first(account, from_day, until_day)
        if contact is None:
            return None
        end = self._cancellations.first(account, from_day, until_day)
        return contact if end is None or contact[:2] < end[:2] else None

    def treated(self, account: NDArray[np.int32], as_of_day: int, until_day: int) -> NDArray[np.bool_]:
        """Whether each account was contacted in [as_of_day, until_day) before it cancelled; shape of `account`."""
        found = (self.first(each, as_of_day, until_day) is not None for each in account.tolist())
        return np.fromiter(found, np.bool_, len(account))

    def groups(
        self, account: NDArray[np.int32], ids: Sequence[str], phase: NDArray[np.int64], as_of_day: int, cohorts: Cohorts
    ) -> list[Group]:
        """The group of each example of an as-of, once its horizon has passed.

        Contacted: in the window after the as-of, for the first time in this horizon of the account. Not contacted: the
        example of the account's first turn, with no contact in the window. Either way the account was still there at
        the moment of the contact; for those that had none a moment is drawn. Otherwise accounts that cancelled before
        anybody could contact them would make the untreated look worse than they are.

        Parameters
        ----------
        account, phase
            Shape (n,): index, and stable hash, of each account.
        ids
            Their ids.

        References
        ----------
        Suissa, "Immortal time bias in pharmacoepidemiology", American Journal of Epidemiology 167, 2008. Zhou, Rahme,
        Abrahamowicz and Pilote, "Survival bias associated with time-to-treatment initiation in drug effectiveness
        evaluation", the same 162, 2005: times drawn for the untreated.
        """
        found: list[Group] = []
        until_day = as_of_day + cohorts.window_days
        for each, name, code in zip(account.tolist(), ids, phase.tolist(), strict=True):
            turn = cohorts.turn(code, as_of_day)
            contact = self.first(each, as_of_day, until_day)
            if contact is not None:
                began = as_of_day - turn * cohorts.stride_days
                again = self._contacts.first(each, began, as_of_day) is not None
                found.append(None if again else contact.playbook or UNNAMED)
            elif turn == 0 and not self._gone_by(each, as_of_day, _drawn_us(name, as_of_day, cohorts.window_days)):
                found.append(NOT_CONTACTED)
            else:
                found.append(None)
        return found

    def _gone_by(self, account: int, as_of_day: int, moment_us: int) -> bool:
        end = self._cancellations.first(account, as_of_day, moment_us // US_PER_DAY + 1)
        return end is not None and end.time_us < moment_us


def _drawn_us(account_id: str, as_of_day: int, window_days: int) -> int:
    """A moment of the window, the same in every run."""
    # Not CRC-32, which keeps the likeness of like names.
    share = xxh3_64_intdigest(f"{as_of_day} {account_id}".encode()) / 2**64
    return as_of_day * US_PER_DAY + int(share * window_days * US_PER_DAY)
