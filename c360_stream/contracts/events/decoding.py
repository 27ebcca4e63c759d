"""The fast decoder of input events: it checks the whole contract, at under a microsecond per event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events.contract import (
    EVENT_BYTES_MAX,
    EVENT_TYPE_PATTERN,
    EVENTS,
    HEARTBEAT_ACCOUNT,
    HEARTBEAT_TYPE,
    NESTING_MAX,
    Event,
    HeartbeatSent,
    ProductEvent,
)
from c360_stream.contracts.events.times import EVENT_TIME_END, EVENT_TIME_MIN, time_us, times_us
from c360_stream.contracts.kinds import InputKind

_EVENT_TYPE = re.compile(EVENT_TYPE_PATTERN)
_EVENT_TYPES_KEPT_MAX = 4096
_REASONS_KEPT_MAX = 1024
_WITH_VALUE = ("Invalid value", "Invalid enum value")
_BLOCK = 512
_TIME_MIN_US, _TIME_END_US = time_us(EVENT_TIME_MIN), time_us(EVENT_TIME_END)
# A string, or what there is of one at the end of the record: it always matches, so the scan stays linear.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = np.zeros(256, np.int64)
_STEPS[list(b"{[")] = 1
_STEPS[list(b"}]")] = -1


RefusalStage = Literal["size", "decode"]
"""`size`: refused unread."""


def is_heartbeat(event: Event) -> bool:
    """Whether an event is a heartbeat, of whatever topic.

    >>> raw = b'{"event_id":"e","account_id":"c360-heartbeat","event_type":"c360_heartbeat","occurred_at":"%s"}'
    >>> [is_heartbeat(Decoder(kind).decode(raw % b"2024-03-05T12:34:56Z")) for kind in ("product", "billing")]
    [True, True]
    """
    if isinstance(event, ProductEvent):
        return event.event_type == HEARTBEAT_TYPE and event.account_id == HEARTBEAT_ACCOUNT
    return isinstance(event, HeartbeatSent)


class Refused(ValueError):  # noqa: N818 - named as the rest of the system speaks of it
    """A record that breaks the contract. It becomes a dead letter.

    Parameters
    ----------
    reason
        The field and the rule, never a value or text of the record: reasons are logged and counted.
    stage
        Which step refused it.
    """

    def __init__(self, reason: str, stage: RefusalStage = "decode") -> None:
        super().__init__(reason)
        self.reason = reason
        self.stage = stage


class Decoded(NamedTuple):
    """What became of some records.

    Parameters
    ----------
    events
        Those that keep the contract, n of them.
    time_us
        int64, shape (n,): their event times in microseconds since the epoch.
    positions
        Where among the records each was.
    refused
        Positions of the others, with the reason.
    """

    events: list[Any]
    time_us: NDArray[np.int64]
    positions: Sequence[int]
    refused: list[tuple[int, Refused]]


class Decoder:
    """Decodes the events of one input topic.

    Accepts what `reference.validate_reference` accepts, with equal fields, and refuses everything else with
    `Refused`: no bytes make it raise anything else.

    Examples
    --------
    >>> raw = b'{"event_id":"e","account_id":"a","event_type":"ticket_solved","ticket_id":"t"}'
    >>> Decoder("support").decode(raw)
    Traceback (most recent call last):
    c360_stream.contracts.events.decoding.Refused: Object missing required field `occurred_at`
    """

    __slots__ = ("_event_types", "_of_products", "_read", "_refusal_of", "_refusals")

    def __init__(self, kind: InputKind) -> None:
        self._read: Callable[[bytes], Any] = msgspec.json.Decoder(EVENTS[kind]).decode
        self._event_types: set[str] = set()
        self._refusals: dict[tuple[str, RefusalStage], Refused] = {}
        self._refusal_of: dict[str, Refused] = {}
        self._of_products = kind == "product"

    def decode(self, raw: bytes) -> Event:
        """Decode one record.

        Raises
        ------
        Refused
            If the record breaks the contract.
        """
        # A shorter record has no room to close what it opens beyond the limit.
        if len(raw) > 2 * NESTING_MAX:
            _check_size_and_nesting(raw)
        try:
            if not raw.isascii():
                raw.decode()  # msgspec does not look inside the fields that it ignores
            event: Event = self._read(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Refused(_reason(error)) from None
        if not EVENT_TIME_MIN <= event.occurred_at < EVENT_TIME_END:
            raise Refused("occurred_at: must be from 1970-01-01 to before 2100-01-01, UTC")
        if isinstance(event, ProductEvent) and event.event_type not in self._event_types:
            self._check_event_type(event.event_type)
        return event

    def decode_blocks(self, raws: Sequence[bytes]) -> Iterator[Decoded]:
        """Decode records by the rules of `decode`, one block at a time.

        Rules are checked for all events of a block at once, which costs half as much (0.4 instead of 0.75 us per event
        of 200 bytes). Only a block with a record that breaks a rare rule is decoded one by one. A block is small enough
        for the processor's cache: release its events before asking for the next.
        """
        for start in range(0, len(raws), _BLOCK):
            block = raws[start : start + _BLOCK]
            yield self._together(block, start) or self._one_by_one(block, start)

    def _together(self, raws: Sequence[bytes], start: int) -> Decoded | None:
        """What becomes of records none of which is refused but for its JSON or its event type; else None.

        Where one in a hundred is refused, nearly every block has such a record.
        """
        try:
            if max(map(len, raws)) > 2 * NESTING_MAX:
                for raw in raws:
                    _check_size_and_nesting(raw)
            if not all(map(bytes.isascii, raws)):
                b"\n".join(raws).decode()  # no character reaches across a newline
        except ValueError:
            return None
        events: list[Any] = []
        refused: list[tuple[int, Refused]] = []
        rest = iter(raws)
        while True:
            try:
                events.extend(map(self._read, rest))  # those before one that fails stay
                break
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                refused.append((start + len(events) + len(refused), self._refusal(error)))
        time_us = times_us([event.occurred_at for event in events])
        if events and (int(time_us.min()) < _TIME_MIN_US or int(time_us.max()) >= _TIME_END_US):
            return None
        decoded = Decoded(events, time_us, _others(range(start, start + len(raws)), refused), refused)
        return self._without_bad_types(decoded) if self._of_products else decoded

    def _without_bad_types(self, decoded: Decoded) -> Decoded:
        """Product events without those whose event type is refused."""
        bad: dict[str, Refused] = {}
        for event_type in {event.event_type for event in decoded.events} - self._event_types:
            try:
                self._check_event_type(event_type)
            except Refused as refusal:
                bad[event_type] = self._shared(refusal)
        if not bad:
            return decoded
        good = np.array([event.event_type not in bad for event in decoded.events], bool)
        refused = [
            (position, bad[event.event_type])
            for position, event in zip(decoded.positions, decoded.events, strict=True)
            if event.event_type in bad
        ]
        return Decoded(
            [event for event in decoded.events if event.event_type not in bad],
            decoded.time_us[good],
            [position for position, kept in zip(decoded.positions, good.tolist(), strict=True) if kept],
            sorted([*decoded.refused, *refused], key=lambda item: item[0]),
        )

    def _one_by_one(self, raws: Sequence[bytes], start: int) -> Decoded:
        events: list[Event] = []
        positions: list[int] = []
        refused: list[tuple[int, Refused]] = []
        for position, raw in enumerate(raws, start):
            try:
                events.append(self.decode(raw))
                positions.append(position)
            except Refused as refusal:
                refused.append((position, self._shared(refusal)))
        return Decoded(events, times_us([event.occurred_at for event in events]), positions, refused)

    def _refusal(self, error: Exception) -> Refused:
        """As `_shared`, found by the library's message: most records of a flood are refused in the same words."""
        message = str(error)
        if (shared := self._refusal_of.get(message)) is None:
            shared = self._shared(Refused(_reason(error)))
            if not message.startswith(_WITH_VALUE):
                if len(self._refusal_of) == _REASONS_KEPT_MAX:  # "(byte 12)": of records that are no JSON, each its own
                    self._refusal_of.clear()
                self._refusal_of[message] = shared
        return shared

    def _shared(self, refusal: Refused) -> Refused:
        """The same for all records that are refused for the same reason.

        An exception that was raised holds on to the record, by the frames of its traceback.
        """
        reason = (refusal.reason, refusal.stage)
        if (shared := self._refusals.get(reason)) is None:
            shared = Refused(*reason)
            if len(self._refusals) < _REASONS_KEPT_MAX:
                self._refusals[reason] = shared
        return shared

    def _check_event_type(self, event_type: str) -> None:
        # The pattern costs as much as the rest of the decoding, and event types are few.
        if not _EVENT_TYPE.fullmatch(event_type):
            raise Refused("event_type: must be a snake_case name")
        if len(self._event_types) < _EVENT_TYPES_KEPT_MAX:
            self._event_types.add(event_type)


def _others(positions: range, refused: list[tuple[int, Refused]]) -> Sequence[int]:
    """The positions that are not refused."""
    gone = {position for position, _ in refused}
    return [position for position in positions if position not in gone] if gone else positions


def _check_size_and_nesting(raw: bytes) -> None:
    if len(raw) > EVENT_BYTES_MAX:
        raise Refused(f"over {EVENT_BYTES_MAX} bytes", stage="size")
    if raw.count(b"{") + raw.count(b"[") > NESTING_MAX:
        brackets = np.frombuffer(_STRING.sub(b"", raw), np.uint8)
        if _STEPS[brackets].cumsum().max(initial=0) > NESTING_MAX:
            raise Refused(f"nested deeper than {NESTING_MAX} levels")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return f"nested deeper than {NESTING_MAX} levels"
    rule, _, path = str(error).rpartition(" - at `$.")
    if not rule:
        return str(error)
    if rule.startswith(_WITH_VALUE):
        rule = "unknown value"  # msgspec would repeat the value
        # Only the heartbeats' type has an account of its own: of another, it is no type.
        path = path.replace("account_id", "event_type")
    return f"{path.rstrip('`')}: {rule}"
