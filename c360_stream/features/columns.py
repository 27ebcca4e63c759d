"""Decoded events as columns: what travels between steps instead of one object per event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import DeadLetter

NO_TIME = -(2**62)
END_OF_TIME = 2**62

PRODUCT, BILLING, SUPPORT = range(len(INPUT_KINDS))

# Codes of product events: a set of bits, since one event type can be several of these.
CORE_ACTION, COMMENT, INVITE, EXPORT = 1, 2, 4, 8
# Codes of billing and support events: one number per event type.
STARTED, CHANGED, CANCELLED, INVOICE_PAID, INVOICE_FAILED = 1, 2, 3, 4, 5
TICKET, TICKET_URGENT, TICKET_SOLVED, CSAT, NPS, CONTACTED = 11, 12, 13, 14, 15, 16
# A bit that no other code has. A product event of the type has it whatever its account, to which nothing else looks.
HEARTBEAT = 128


# What `EventColumns` has of each event as an array, beside its account.
_PLAIN = ("time_us", "effective_time_us", "event", "code", "user", "category")


@dataclass(slots=True)
class EventColumns:
    """Events of one topic: of one partition, in its order, or those of them that are of one shard.

    Parameters
    ----------
    topic
        `PRODUCT`, `BILLING` or `SUPPORT`.
    accounts
        Distinct accounts, m of them: before the events are split by shard all that the encoder knows, else those of
        the events.
    account_hash
        uint64, shape (m,): one stable hash per account, which scopes the hashes below to their account.
    account
        int32, shape (n,): each event's index into `accounts`.
    time_us
        int64, shape (n,): event time in microseconds since the epoch, UTC.
    effective_time_us
        int64, shape (n,): when the event takes effect. Its own time, or, if it is late, the mark that its
        partition had reached just before it: that depends on the order of the partition alone, and one wrong clock
        does not move it (`plausibility.TimeJudge`).
    event
        uint64, shape (n,): stable hash of `event_id`.
    code
        uint8, shape (n,): what happened, see the constants of this module.
    user, category
        uint64, shape (n,), 0 for none; empty for billing and support.
    details
        What does not fit a number, one item per event; empty for product.
    """

    topic: int
    accounts: list[str]
    account_hash: NDArray[np.uint64]
    account: NDArray[np.int32]
    time_us: NDArray[np.int64]
    effective_time_us: NDArray[np.int64]
    event: NDArray[np.uint64]
    code: NDArray[np.uint8]
    user: NDArray[np.uint64]
    category: NDArray[np.uint64]
    details: list[Any]

    def __len__(self) -> int:
        return len(self.time_us)

    @classmethod
    def joined(cls, parts: Sequence[EventColumns]) -> EventColumns:
        """Parts of one topic, at least one, one after the other; an account that several name comes several times.

        Parts that share `accounts`, which may have grown from one to the next, go on sharing them.
        """
        if len(parts) == 1:
            return parts[0]
        last = parts[-1]
        accounts, account_hash = last.accounts, last.account_hash
        account = [part.account for part in parts]
        if any(part.accounts is not accounts for part in parts):
            first = np.cumsum([0, *(len(part.accounts) for part in parts)])
            accounts = [name for part in parts for name in part.accounts]
            account_hash = np.concatenate([part.account_hash for part in parts])
            account = [part.account + start for part, start in zip(parts, first.tolist(), strict=False)]
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _PLAIN}
        details = [detail for part in parts for detail in part.details]
        return cls(last.topic, accounts, account_hash, account=np.concatenate(account), details=details, **columns)

    def keep(self, chosen: NDArray[np.intp]) -> EventColumns:
        """The events at the positions `chosen`, shape (m,), in that order; the accounts stay."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        return replace(
            self,
            account=self.account[chosen],
            details=[self.details[i] for i in chosen.tolist()] if self.details else [],
            **{name: column[chosen] if len(column) else column for name, column in columns.items()},
        )

    def between(self, start: int, stop: int) -> EventColumns:
        """The events from one position to before another, as views; the accounts stay."""
        columns: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in (*_PLAIN, "account", "details")}
        return replace(self, **columns)

    def take(self, chosen: NDArray[np.intp]) -> EventColumns:
        """The events at the positions `chosen`, shape (m,), in that order, with just their accounts."""
        kept = self.keep(chosen)
        present, account = np.unique(kept.account, return_inverse=True)
        kept.accounts = [self.accounts[i] for i in present.tolist()]
        kept.account_hash, kept.account = self.account_hash[present], account.astype(np.int32)
        return kept

    def without(self, refused: Sequence[Unsettled]) -> EventColumns:
        """The events that are not among `refused`."""
        candidates = np.flatnonzero(np.isin(self.event, np.array([each.event for each in refused], np.uint64)))
        if not len(candidates):
            return self
        named = {(each.topic, each.account_hash, each.event, each.time_us) for each in refused}
        account_hash = self.account_hash[self.account[candidates]]
        columns = (each.tolist() for each in (account_hash, self.event[candidates], self.time_us[candidates]))
        chosen = [(self.topic, *what) in named for what in zip(*columns, strict=True)]
        return self.take(np.delete(np.arange(len(self)), candidates[chosen]))


def joined_by_topic(parts: Sequence[EventColumns]) -> list[EventColumns]:
    """The parts of each topic as one."""
    by_topic = ([part for part in parts if part.topic == topic] for topic in range(len(INPUT_KINDS)))
    return [EventColumns.joined(of_topic) for of_topic in by_topic if of_topic]


@dataclass(slots=True)
class Unsettled:
    """An event whose time its partition alone could not judge, on its way to the shard of its account.

    Parameters
    ----------
    topic, account_hash, event, time_us
        What identifies it, see `EventColumns`.
    letter
        The dead letter that it becomes if the other partitions do not bear its time out.
    """

    topic: int
    account_hash: int
    event: int
    time_us: int
    letter: DeadLetter


@dataclass(slots=True)
class ShardBatch:
    """What one source partition sends to one shard: events, and the partition's mark, together.

    The mark travels with its batch so that it cannot overtake the events it vouches for.

    Parameters
    ----------
    shard
        Number of the shard.
    partition
        Name of the source partition.
    mark_us
        No event below this is expected from the partition any more, except late ones; `NO_TIME` as long as its events
        do not confirm each other's time.
    first_us
        Least time of a settled event up to the first that moves the mark; `NO_TIME` without any.
    ended
        Whether the partition has been read to its end, for good.
    events
        This shard's events, or None.
    unsettled
        Those of them that the partition alone cannot judge.
    doubtful
        Time and account hash of the unsettled events of all shards.
    latest_us, events_read, accounts
        Of the settled events read from the partition, which are those that it could judge: the greatest time, their
        number, and the hashes of the first few accounts (`plausibility.VOTERS`).
    """

    shard: int
    partition: str
    mark_us: int
    first_us: int
    ended: bool
    events: EventColumns | None
    unsettled: Sequence[Unsettled] = ()
    doubtful: Sequence[tuple[int, int]] = ()
    latest_us: int = NO_TIME
    events_read: int = 0
    accounts: Sequence[int] = ()


@dataclass(slots=True)
class Heartbeats:
    """Heartbeats of one source partition, on their way through one shard behind the events that they vouch for.

    Parameters
    ----------
    shard
        Number of the shard.
    partition
        Name of the source partition.
    sent_us
        When each was sent, in microseconds since the epoch, in the partition's order.
    """

    shard: int
    partition: str
    sent_us: tuple[int, ...]
