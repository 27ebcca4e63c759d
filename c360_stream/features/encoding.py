"""From decoded events to columns, split by shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from c360_stream import events as ev
from c360_stream.features import columns as c
from c360_stream.features.columns import EventColumns
from c360_stream.features.subscriptions import SubscriptionEvent

# Hashes of different things get different seeds, so that a user named like an account is not taken for it.
_ACCOUNT_SEED, _USER_SEED, _CATEGORY_SEED, _EVENT_SEED = 1, 2, 3, 4
# Hashes of short texts under two seeds are related: xoring that of a user with that of the account would give the
# same for the pairs (12, 12) and (13, 13). An odd factor takes the relation away.
_SCOPE = np.uint64(0xD6E8FEB86659FD93)
_NEVER_A_CATEGORY = frozenset(("page_viewed", "session_start", "session_end"))
_REMEMBERED_MAX = 1_000_000
# The contract bounds events, not this field of theirs, and it is kept for months.
_PLAYBOOK_CHARACTERS_MAX = 128

_CODES: dict[type, int] = {
    ev.SubscriptionStarted: c.STARTED,
    ev.SubscriptionChanged: c.CHANGED,
    ev.SubscriptionCancelled: c.CANCELLED,
    ev.InvoicePaid: c.INVOICE_PAID,
    ev.InvoicePaymentFailed: c.INVOICE_FAILED,
    ev.TicketSolved: c.TICKET_SOLVED,
    ev.CsatSubmitted: c.CSAT,
    ev.NpsSubmitted: c.NPS,
    ev.SuccessContacted: c.CONTACTED,
}
_URGENT = frozenset(("high", "urgent"))


class EventEncoder:
    """Turns a batch of one topic's events into one `EventColumns` a shard.

    An account's shard is a stable hash of its id modulo the number of shards.

    Parameters
    ----------
    topic
        `PRODUCT`, `BILLING` or `SUPPORT`.
    shards
        Number of shards.
    core_actions
        Event types that count as core actions.
    category_prefixes
        Prefix of an event type -> feature category; the longest prefix that fits wins.
    """

    def __init__(
        self, topic: int, shards: int, core_actions: Sequence[str], category_prefixes: Mapping[str, str]
    ) -> None:
        self.topic = topic
        self.shards = shards
        self._core_actions = frozenset(core_actions)
        self._prefixes = sorted(category_prefixes.items(), key=lambda item: -len(item[0]))
        self._accounts: dict[str, int] = {}
        self._types: dict[str, tuple[int, int]] = {}
        self._categories: dict[str, int] = {}

    def split(
        self, events: list[Any], time_us: NDArray[np.int64], heard_us: NDArray[np.int64] | None = None
    ) -> list[EventColumns | None]:
        """Columns by shard, None where a shard has no event; order within a shard is kept.

        Parameters
        ----------
        events
            Decoded events, n of them.
        time_us
            int64, shape (n,): their event times.
        heard_us
            int64, shape (n,): when each counts as heard, see `EventColumns`; None: no event is late.
        """
        by_shard: list[EventColumns | None] = [None] * self.shards
        if not events:
            return by_shard
        code_of: dict[str, int] = {}
        codes = [code_of.setdefault(event.account_id, len(code_of)) for event in events]
        names = list(code_of)
        account_hash = self._account_hashes(names)
        shard = account_hash % np.uint64(self.shards)
        # Number the accounts so that those of a shard follow each other, then sort the events by that number's shard.
        by_account = np.argsort(shard, kind="stable")
        rank = np.empty(len(names), np.int32)
        rank[by_account] = np.arange(len(names), dtype=np.int32)
        account = rank[np.array(codes, np.int64)]
        shard_of_event = shard[by_account][account]
        order = np.argsort(shard_of_event, kind="stable")
        columns = self._columns(
            events,
            (time_us, time_us if heard_us is None else heard_us),
            account,
            [names[i] for i in by_account.tolist()],
            account_hash[by_account] * _SCOPE,
        )
        numbers, starts = np.unique(shard_of_event[order], return_index=True)
        for number, chosen in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            by_shard[int(number)] = columns.take(chosen)
        return by_shard

    def _account_hashes(self, names: list[str]) -> NDArray[np.uint64]:
        known = self._accounts
        if len(known) > _REMEMBERED_MAX:
            known.clear()
        for name in names:
            if name not in known:
                known[name] = xxh3_64_intdigest(name.encode(), _ACCOUNT_SEED)
        return np.array([known[name] for name in names], np.uint64)

    def _columns(
        self,
        events: list[Any],
        times: tuple[NDArray[np.int64], NDArray[np.int64]],
        account: NDArray[np.int32],
        names: list[str],
        account_hash: NDArray[np.uint64],
    ) -> EventColumns:
        n = len(events)
        event = np.fromiter((xxh3_64_intdigest(e.event_id.encode(), _EVENT_SEED) for e in events), np.uint64, n)
        if self.topic == c.PRODUCT:
            code, user, category = self._product(events)
            details: list[Any] = []
        else:
            code = np.fromiter(map(_code, events), np.uint8, n)
            user = category = np.zeros(0, np.uint64)
            details = list(map(_detail, events, times[0].tolist()))
        return EventColumns(self.topic, names, account_hash, account, *times, event, code, user, category, details)

    def _product(
        self, events: list[ev.ProductEvent]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]:
        n = len(events)
        user = np.fromiter(
            (0 if e.user_id is None else xxh3_64_intdigest(e.user_id.encode(), _USER_SEED) for e in events),
            np.uint64,
            n,
        )
        types = [self._types.get(e.event_type) or self._type(e.event_type) for e in events]
        code = np.fromiter((t[0] for t in types), np.uint8, n)
        category = np.fromiter(
            (
                t[1] if e.feature is None or e.event_type in _NEVER_A_CATEGORY else self._category(e.feature)
                for e, t in zip(events, types, strict=True)
            ),
            np.uint64,
            n,
        )
        return code, user, category

    def _type(self, event_type: str) -> tuple[int, int]:
        """Code and category hash (0 for none) of an event type."""
        code = (
            (c.CORE_ACTION if event_type in self._core_actions else 0)
            | (c.COMMENT if event_type == "comment_added" else 0)
            | (c.INVITE if event_type == "invite_sent" else 0)
            | (c.EXPORT if event_type == "export_requested" else 0)
        )
        category = 0
        if event_type not in _NEVER_A_CATEGORY:
            category = next((self._category(name) for start, name in self._prefixes if event_type.startswith(start)), 0)
        if len(self._types) < _REMEMBERED_MAX:
            self._types[event_type] = (code, category)
        return code, category

    def _category(self, name: str) -> int:
        known = self._categories.get(name)
        if known is None:
            known = xxh3_64_intdigest(name.encode(), _CATEGORY_SEED)
            if len(self._categories) < _REMEMBERED_MAX:
                self._categories[name] = known
        return known


def _code(event: Any) -> int:
    if isinstance(event, ev.TicketOpened):
        return c.TICKET_URGENT if event.priority in _URGENT else c.TICKET
    return _CODES[type(event)]


def _detail(event: Any, time_us: int) -> Any:
    match event:
        case ev.SubscriptionStarted() | ev.SubscriptionChanged():
            renewal = None if event.renewal_at is None else ev.time_us(event.renewal_at)
            code = _CODES[type(event)]
            return SubscriptionEvent(time_us, event.event_id, code, event.mrr_cents, event.seats, renewal, event.plan)
        case ev.SubscriptionCancelled():
            return SubscriptionEvent(time_us, event.event_id, c.CANCELLED, None, None, None)
        case ev.CsatSubmitted():
            return event.score
        case ev.NpsSubmitted():
            return (event.event_id, event.score)
        case ev.SuccessContacted():
            return (event.event_id, (event.playbook or "")[:_PLAYBOOK_CHARACTERS_MAX])
        case _:
            return None
