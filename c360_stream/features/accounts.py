"""Everything a shard keeps of its accounts, and the feature matrix computed from it."""

from __future__ import annotations

import zlib
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features import columns as c
from c360_stream.features import windows as w
from c360_stream.features.columns import NO_TIME, EventColumns
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.presence import Presence
from c360_stream.features.subscriptions import SUBSCRIPTION_CODES, SubscriptionEvent, Subscriptions
from c360_stream.features.windows import WINDOW_DAYS, DayCounts
from c360_stream.labels.contacts import Contacts, Occurrence
from c360_stream.state.codec import IDS_PER_PAGE
from c360_stream.state.fields import Kept, fields, paged_by_account, paged_list

Numbers = NDArray[np.integer | np.floating | np.bool_]


class Accounts(Kept):
    """Windows, subscriptions and feedback of the accounts of one shard.

    The state always stands for "every event before the end of the day in progress": events of later days
    are not given to it yet. What is kept is a function of the set of events given, not of their order.

    Parameters
    ----------
    contact_days
        For how many days contacts are kept; features need none of them.
    """

    kept = fields(
        ids=paged_list(str, IDS_PER_PAGE),
        counts=DayCounts,
        users=Presence,
        commenters=Presence,
        categories=Presence,
        subscriptions=Subscriptions,
        contacts=Contacts,
        first_us=NDArray[np.int64],
        last_product_us=NDArray[np.int64],
        billing_seen=NDArray[np.bool_],
        _nps=paged_by_account(tuple[int, str, int]),
    )

    def __init__(self, contact_days: int = 0) -> None:
        self.ids: list[str] = []
        self._index: dict[str, int] = {}
        self.counts = DayCounts()
        self.users = Presence()
        self.commenters = Presence()
        self.categories = Presence()
        self.subscriptions = Subscriptions()
        self.contacts = Contacts(contact_days)
        self.first_us = np.full(64, c.END_OF_TIME, np.int64)
        self.last_product_us = np.full(64, NO_TIME, np.int64)
        self.billing_seen = np.zeros(64, np.bool_)
        self.stride_phase = np.zeros(64, np.int64)
        self._in_id_order = np.zeros(0, np.int32)
        self._nps: dict[int, tuple[int, str, int]] = {}
        self._nps_score = np.full(64, np.nan, np.float32)

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, accounts: list[str]) -> NDArray[np.int32]:
        """Indices of accounts, new ones included; int32 of shape (m,)."""
        index = self._index
        before = len(index)
        try:
            return np.fromiter(map(index.__getitem__, accounts), np.int32, len(accounts))
        except KeyError:
            rows = np.array([index.setdefault(account, len(index)) for account in accounts], np.int32)
        if len(index) > before:
            self.ids.extend(islice(index, before, None))
            self._reserve(len(index))
            self._assign_phases(before)
        return rows

    def _assign_phases(self, first: int) -> None:
        """Give the accounts from index `first` on their phase, which spreads the examples over the stride."""
        self.stride_phase[first : len(self)] = [zlib.crc32(name.encode()) for name in self.ids[first:]]

    def in_id_order(self) -> NDArray[np.int32]:
        """Indices of all accounts in ascending order of id; int32 of shape (accounts,)."""
        if len(self._in_id_order) < len(self.ids):
            self._in_id_order = np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), np.int32)
        return self._in_id_order

    def _reserve(self, accounts: int) -> None:
        for part in (self.counts, self.users, self.commenters, self.categories, self.subscriptions):
            part.reserve(accounts)
        self.first_us = grow_array(self.first_us, accounts, c.END_OF_TIME)
        self.last_product_us = grow_array(self.last_product_us, accounts, NO_TIME)
        self.billing_seen = grow_array(self.billing_seen, accounts, False)
        self.stride_phase = grow_array(self.stride_phase, accounts, 0)
        self._nps_score = grow_array(self._nps_score, accounts, np.nan)

    def open_day(self, day: int) -> None:
        """Start `day`: windows move on by one day."""
        self.counts.open_day(day)
        for presence in (self.users, self.commenters, self.categories):
            presence.open_day()
        self.contacts.open_day(day)

    def apply(self, events: EventColumns, row: NDArray[np.int32], today: int) -> list[tuple[int, int]]:
        """Take events of `today` or earlier, none of them a repeat.

        Parameters
        ----------
        row
            int32, shape (n,): each event's account, from `rows_of`.

        Returns
        -------
        The cancellations among them: (account, time in microseconds).
        """
        np.minimum.at(self.first_us, row, events.time_us)
        if events.topic == c.PRODUCT:
            self._apply_product(events, row, today)
            return []
        if events.topic == c.BILLING:
            return self._apply_billing(events, row, today)
        self._apply_support(events, row, today)
        return []

    def _apply_product(self, events: EventColumns, row: NDArray[np.int32], today: int) -> None:
        np.maximum.at(self.last_product_us, row, events.time_us)
        age = today - events.time_us // US_PER_DAY
        code, user, category, owner = events.code, events.user, events.category, events.account_hash[events.account]
        inside = age < WINDOW_DAYS
        if not inside.all():
            age, row, owner = age[inside], row[inside], owner[inside]
            code, user, category = code[inside], user[inside], category[inside]
        self.counts.mark_active(age, row)
        for bit, kind in ((c.CORE_ACTION, w.CORE), (c.INVITE, w.INVITES), (c.EXPORT, w.EXPORTS)):
            chosen = np.flatnonzero(code & bit)
            self.counts.add(kind, age[chosen], row[chosen])
        thing = user ^ owner
        known_user = user != 0
        if known_user.all():
            new_row, new_age = self.users.mark(thing, row, age)
        else:
            new_row, new_age = self.users.mark(thing[known_user], row[known_user], age[known_user])
        self.counts.add(w.DAU, new_age, new_row)
        commented = np.flatnonzero(known_user & (code & c.COMMENT != 0))
        self.commenters.mark(thing[commented], row[commented], age[commented])
        used = np.flatnonzero(category)
        self.categories.mark((category ^ owner)[used], row[used], age[used])

    def _apply_billing(self, events: EventColumns, row: NDArray[np.int32], today: int) -> list[tuple[int, int]]:
        self.billing_seen[row] = True
        age = today - events.time_us // US_PER_DAY
        failed = (events.code == c.INVOICE_FAILED) & (age < WINDOW_DAYS)
        self.counts.add(w.FAILURES, age[failed], row[failed])
        cancellations = []
        for i in np.flatnonzero(np.isin(events.code, list(SUBSCRIPTION_CODES))).tolist():
            event: SubscriptionEvent = events.details[i]
            account = int(row[i])
            self.subscriptions.apply(account, event, today)
            if event.code == c.CANCELLED:
                self.contacts.cancelled(account, Occurrence(event.time_us, event.event_id))
                cancellations.append((account, event.time_us))
        self.subscriptions.settle()
        return cancellations

    def _apply_support(self, events: EventColumns, row: NDArray[np.int32], today: int) -> None:
        age = today - events.time_us // US_PER_DAY
        inside = age < WINDOW_DAYS
        code = events.code
        urgent = inside & (code == c.TICKET_URGENT)
        ticket = urgent | (inside & (code == c.TICKET))
        self.counts.add(w.TICKETS, age[ticket], row[ticket])
        self.counts.add(w.URGENT, age[urgent], row[urgent])
        csat = inside & (code == c.CSAT)
        scores = np.array([events.details[i] for i in np.flatnonzero(csat).tolist()], np.int32)
        self.counts.add(w.CSAT_N, age[csat], row[csat])
        self.counts.add(w.CSAT_SUM, age[csat], row[csat], scores)
        for i in np.flatnonzero(code == c.NPS).tolist():
            account = int(row[i])
            event_id, score = events.details[i]
            answer = (int(events.time_us[i]), event_id, score)
            self._nps[account] = newest = max(self._nps.get(account, answer), answer)
            self._nps_score[account] = newest[2]
        for i in np.flatnonzero(code == c.CONTACTED).tolist():
            event_id, playbook = events.details[i]
            self.contacts.contacted(int(row[i]), Occurrence(int(events.time_us[i]), event_id, playbook))

    def matrix(self, chosen: NDArray[np.int32], as_of_us: int | NDArray[np.int64]) -> NDArray[np.float64]:
        """Feature rows of the chosen accounts, NaN for null. Windows include the day in progress.

        Parameters
        ----------
        as_of_us
            As-of time: a number, or int64 of shape (chosen,). At midnight the day before is still in progress.

        Returns
        -------
        float64, shape (chosen, 21), columns as in `FEATURES`.
        """
        total = self.counts.total
        rows = np.empty((len(chosen), len(FEATURES)))

        def put(name: str, values: Numbers) -> None:
            rows[:, INDEX[name]] = values

        dau = {days: total(w.DAU, days, chosen) / days for days in (7, 14, 30)}
        for days, mean in dau.items():
            put(f"avg_dau_{days}d", mean)
        put("usage_trend_ratio_7d_30d", _ratio(dau[7], dau[30]))
        core = {days: total(w.CORE, days, chosen) / days for days in (7, 30)}
        put("action_trend_ratio_7d_30d", _ratio(core[7], core[30]))
        put("active_days_30d", self.counts.active_days(chosen))
        put("features_adopted_30d", self.categories.distinct[chosen])
        put("seat_utilization_30d", _ratio(self.users.distinct[chosen], self.subscriptions.seats[chosen]))
        put("users_commenting_30d", self.commenters.distinct[chosen])
        for name, kind in _COUNTS_30D.items():
            put(name, total(kind, 30, chosen))
        csat_n = total(w.CSAT_N, 30, chosen)
        put("avg_csat_30d", _ratio(total(w.CSAT_SUM, 30, chosen), csat_n))
        put("nps_score", self._nps_score[chosen])
        last = self.last_product_us[chosen]
        put("days_since_last_activity", np.where(last == NO_TIME, np.nan, (as_of_us - last) / US_PER_DAY))
        mrr = self.subscriptions.mrr_cents[chosen]
        put("mrr_cents", np.where(np.isnan(mrr) & self.billing_seen[chosen], 0.0, mrr))
        put("downgraded_90d", self.subscriptions.downgraded_since(self.counts.today - 89, chosen))
        put("account_age_days", (as_of_us - self.first_us[chosen]) / US_PER_DAY)
        renewal = self.subscriptions.renewal_us[chosen]
        put("days_to_renewal", np.where(renewal == NO_TIME, np.nan, (renewal - as_of_us) / US_PER_DAY))
        return rows

    def restored(self) -> None:
        """Number the accounts, and make room for all of them."""
        self._index = {account: row for row, account in enumerate(self.ids)}
        self.stride_phase = np.zeros(len(self), np.int64)
        self._assign_phases(0)
        for presence in (self.users, self.commenters, self.categories):
            presence.reserve(len(self))
        self._nps_score = np.full(len(self.first_us), np.nan, np.float32)
        for account, (_, _, score) in self._nps.items():
            self._nps_score[account] = score


_COUNTS_30D = {
    "invites_sent_30d": w.INVITES,
    "export_requests_30d": w.EXPORTS,
    "support_tickets_30d": w.TICKETS,
    "urgent_tickets_30d": w.URGENT,
    "payment_failures_30d": w.FAILURES,
}


def _ratio(dividend: Numbers, divisor: Numbers) -> NDArray[np.float64]:
    """Divide, with NaN where the divisor is 0 or NaN."""
    out = np.full(len(dividend), np.nan)
    np.divide(dividend, divisor, out=out, where=np.asarray(divisor) > 0)
    return out
