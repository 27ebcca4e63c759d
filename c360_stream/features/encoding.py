"""From decoded events to columns, split by shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from c360_stream.arrays.growth import grow_array
from c360_stream.contracts import events as ev
from c360_stream.features import columns as c
from c360_stream.features.columns import EventColumns
from c360_stream.features.subscriptions import SubscriptionEvent

# Hashes of different things get different seeds, so that a user named like an account is not taken for it.
_ACCOUNT_SEED, _USER_SEED, _CATEGORY_SEED, _EVENT_SEED = 1, 2, 3, 4
# Hashes of short texts under two seeds are related: xoring that of a user with that of the account would give the
# same for the pairs (12, 12) and (13, 13). An odd factor takes the relation away.
_SCOPE = np.uint64(0xD6E8FEB86659FD93)
_UNSCOPE = np.uint64(pow(0xD6E8FEB86659FD93, -1, 2**64))  # a shard follows from the hash alone
_NEVER_A_CATEGORY = frozenset(("page_viewed", "session_start", "session_end"))
_REMEMBERED_MAX = 1_000_000
_CATEGORIES_MAX = 100_000
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
    ev.HeartbeatSent: c.HEARTBEAT,
}
_URGENT = frozenset(("high", "urgent"))


class KnownAccounts(dict[str, int]):
    """Numbers of the accounts met so far, with what is asked of each for every event: its hash.

    Shared by the encoders of a worker thread. Bound: `_REMEMBERED_MAX` accounts (about 150 bytes each) and one batch's.

    Parameters
    ----------
    shards
        Number of shards. An account's is a stable hash of its id modulo this.
    """

    def __init__(self, shards: int) -> None:
        super().__init__()
        self.shards = shards
        self.names: list[str] = []
        self._new_hashes: list[int] = []
        self._hashes = np.zeros(0, np.uint64)

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self.names)
        self.names.append(name)
        self._new_hashes.append(xxh3_64_intdigest(name.encode(), _ACCOUNT_SEED))
        return number

    def forget_if_full(self) -> None:
        """Begin anew if there are too many; numbers given before mean nothing then."""
        if len(self.names) > _REMEMBERED_MAX:
            self.clear()
            self.names, self._new_hashes = [], []
            self._hashes = np.zeros(0, np.uint64)

    def hashes(self) -> NDArray[np.uint64]:
        """The hash of each account by its number, as in `EventColumns`; uint64 of shape (accounts,)."""
        accounts = len(self.names)
        if self._new_hashes:
            # What was given before keeps its part of the column, or the shorter one.
            self._hashes = grow_array(self._hashes, accounts, 0)
            self._hashes[accounts - len(self._new_hashes) : accounts] = np.array(self._new_hashes, np.uint64) * _SCOPE
            self._new_hashes = []
        return self._hashes[:accounts]


class _EventTypes(dict[str, int]):
    """Numbers of the event types met so far, with code, category hash (0 for none) and whether a feature counts."""

    def __init__(self, core_actions: Sequence[str], category_prefixes: Mapping[str, str]) -> None:
        super().__init__()
        self._core_actions = frozenset(core_actions)
        self._prefixes = sorted(category_prefixes.items(), key=lambda item: -len(item[0]))
        self._codes: list[int] = []
        self._categories: list[int] = []
        self._has_category: list[bool] = []
        self._known = (np.zeros(0, np.uint8), np.zeros(0, np.uint64), np.zeros(0, np.bool_))

    def __missing__(self, event_type: str) -> int:
        number = self[event_type] = len(self._codes)
        self._codes.append(
            (c.CORE_ACTION if event_type in self._core_actions else 0)
            | (c.COMMENT if event_type == "comment_added" else 0)
            | (c.INVITE if event_type == "invite_sent" else 0)
            | (c.EXPORT if event_type == "export_requested" else 0)
            | (c.HEARTBEAT if event_type == ev.HEARTBEAT_TYPE else 0)
        )
        self._has_category.append(event_type not in _NEVER_A_CATEGORY)
        prefixes = self._prefixes if self._has_category[-1] else ()
        self._categories.append(next((_category(name) for start, name in prefixes if event_type.startswith(start)), 0))
        return number

    def columns(self, types: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.bool_]]:
        """Code, category hash and whether a feature counts, each of shape (types,)."""
        if len(self) > _REMEMBERED_MAX:
            self.clear()
            self._codes, self._categories, self._has_category = [], [], []
            self._known = (np.zeros(0, np.uint8), np.zeros(0, np.uint64), np.zeros(0, np.bool_))
        number = np.fromiter(map(self.__getitem__, types), np.int64, len(types))
        if len(self._codes) > len(self._known[0]):
            self._known = (
                np.array(self._codes, np.uint8),
                np.array(self._categories, np.uint64),
                np.array(self._has_category, np.bool_),
            )
        code, category, has_category = self._known
        return code[number], category[number], has_category[number]


class EventEncoder:
    """Turns one topic's events into columns, and columns into one `EventColumns` per shard.

    Whole columns go through functions in C, and sorting by shard makes each shard's part a view. That takes 0.35 us per
    event, half of what a loop over the events and a gather per shard took.

    Parameters
    ----------
    topic
        `PRODUCT`, `BILLING` or `SUPPORT`.
    accounts
        Shared by the encoders of a worker thread.
    core_actions
        Event types that count as core actions.
    category_prefixes
        Prefix of an event type -> feature category; the longest prefix that fits wins.
    """

    def __init__(
        self, topic: int, accounts: KnownAccounts, core_actions: Sequence[str], category_prefixes: Mapping[str, str]
    ) -> None:
        self.topic = topic
        self._accounts = accounts
        self._types = _EventTypes(core_actions, category_prefixes)

    def encode(self, events: Sequence[Any], time_us: NDArray[np.int64]) -> EventColumns:
        """Columns of decoded events with their times, int64 of shape (events,); none counts as late yet."""
        n = len(events)
        account = np.fromiter(map(self._accounts.__getitem__, [event.account_id for event in events]), np.int32, n)
        product = self.topic == c.PRODUCT
        nobody = np.zeros(0, np.uint64)
        code, user, category = (
            self._product(events) if product else (np.fromiter(map(_code, events), np.uint8, n), nobody, nobody)
        )
        return EventColumns(
            self.topic,
            self._accounts.names,
            self._accounts.hashes(),
            account,
            time_us=time_us,
            effective_time_us=time_us,
            event=_hashes([event.event_id for event in events], _EVENT_SEED),
            code=code,
            user=user,
            category=category,
            details=[] if product else list(map(_detail, events, time_us.tolist())),
        )

    def heartbeats(self, events: EventColumns) -> NDArray[np.intp]:
        """Positions, ascending, of the heartbeats among events that were encoded just now."""
        account = self._accounts.get(ev.HEARTBEAT_ACCOUNT)
        if account is None:
            return np.zeros(0, np.intp)
        return np.flatnonzero((events.code & c.HEARTBEAT != 0) & (events.account == account))

    def _product(
        self, events: Sequence[ev.ProductEvent]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]:
        users = [event.user_id for event in events]
        if _all_named(users):
            user = _hashes(users, _USER_SEED)
        else:
            hashed = (0 if user is None else xxh3_64_intdigest(user.encode(), _USER_SEED) for user in users)
            user = np.fromiter(hashed, np.uint64, len(users))
        code, category, has_category = self._types.columns([event.event_type for event in events])
        features = [event.feature for event in events]
        if features.count(None) < len(features):
            for i in np.flatnonzero(has_category).tolist():
                if (feature := features[i]) is not None:
                    category[i] = _category(feature)
        return code, user, category

    def shards_of(self, account_hash: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """The shard of each account, by its hash, uint64 of shape (n,)."""
        return (account_hash * _UNSCOPE % np.uint64(self._accounts.shards)).astype(np.uint16)

    def split(self, events: EventColumns) -> list[EventColumns | None]:
        """Columns by shard, None where a shard has no event; order within a shard is kept."""
        by_shard: list[EventColumns | None] = [None] * self._accounts.shards
        if len(events):
            # Accounts in an order in which those of a shard follow each other; events in the order of their shards.
            present, of = np.unique(events.account, return_inverse=True)
            shards = self.shards_of(events.account_hash[present])
            order = np.argsort(shards, kind="stable")
            rank = np.empty(len(present), np.int32)
            rank[order] = np.arange(len(present), dtype=np.int32)
            shard = shards[of]
            present, shards = present[order], shards[order]
            order = np.argsort(shard, kind="stable")
            ordered = replace(events.keep(order), account=rank[of[order]])
            names = [events.accounts[i] for i in present.tolist()]
            account_hash = events.account_hash[present]
            found, first = np.unique(shards, return_index=True)
            starts = np.searchsorted(shard[order], found)
            bounds = (found, first, [*first[1:], len(present)], starts, [*starts[1:], len(events)])
            for which, begin, end, start, stop in np.array(bounds).T.tolist():
                part = by_shard[which] = ordered.between(start, stop)
                part.accounts, part.account_hash = names[begin:end], account_hash[begin:end]
                part.account = part.account - np.int32(begin)
        self._accounts.forget_if_full()
        return by_shard


def _all_named(users: list[str | None]) -> TypeGuard[list[str]]:
    return None not in users


def _hashes(names: list[str], seed: int) -> NDArray[np.uint64]:
    return np.fromiter(map(xxh3_64_intdigest, map(str.encode, names), repeat(seed)), np.uint64, len(names))


@lru_cache(_CATEGORIES_MAX)
def _category(name: str) -> int:
    return xxh3_64_intdigest(name.encode(), _CATEGORY_SEED)


def _code(event: ev.Event) -> int:
    if isinstance(event, ev.TicketOpened):
        return c.TICKET_URGENT if event.priority in _URGENT else c.TICKET
    return _CODES[type(event)]


def _detail(event: ev.Event, time_us: int) -> object:
    match event:
        case ev.SubscriptionStarted() | ev.SubscriptionChanged():
            renewal = None if event.renewal_at is None else ev.time_us(event.renewal_at)
            code = _CODES[type(event)]
            return SubscriptionEvent(
                time_us=time_us,
                event_id=event.event_id,
                code=code,
                mrr_cents=event.mrr_cents,
                seats=event.seats,
                renewal_us=renewal,
                plan=event.plan,
            )
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
