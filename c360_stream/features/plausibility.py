"""Which event times move time: one wrong clock, or one absurd date, changes nothing but the account that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import END_OF_TIME, NO_TIME

Times = NDArray[np.int64]

NEXT = 3
"""So many of the next events say whether they come late by a leap; those further on come later anyway."""
VOTERS = 8
VOTERS_MIN = 4
"""Fewer events than this, behind a leap or beyond a silence, prove nothing."""
LOOK_AHEAD_EVENTS = 1024
BEHIND_DAYS_MAX = 3650
"""An event this far before the rest is refused: 1970 or 2001 is some program's zero, and no customer's history."""
SILENCE_DAYS = 45
"""The last few events are believed so far ahead of all others, whatever those say."""
SILENCE_DAYS_MAX = 400
SILENCE_OF_SPACING = 32
"""They are believed further ahead if the input is sparse: so many times the mean time between its events."""
_LEAP_MIN_US = 60_000_000
_AT_ONCE = 1024

AHEAD_OF_CLOCK = "occurred_at: more than 1 day in the future"
BEHIND = f"occurred_at: more than {BEHIND_DAYS_MAX // 365} years before the rest of the input"
OUT_OF_TIME = (
    f"occurred_at: more than {SILENCE_DAYS} days ahead of the rest of the input,"
    f" or {BEHIND_DAYS_MAX // 365} years before it"
)


class TimedBatch(Protocol):
    """Events of one partition, in its order, of which more can be read."""

    def times(self) -> Times:
        """Event times, int64 of shape (events,)."""

    def numbers(self) -> NDArray[np.int64]:
        """A number for the account of each event."""

    def more(self) -> Times:
        """Read on; `times` of all events, which are no more than before if the partition has ended for now."""


class Clock(Protocol):
    """The wall clock of a live run."""

    def __call__(self) -> int:
        """Microseconds since the Unix epoch."""


@dataclass(slots=True)
class Verdicts:
    """What is to become of a batch of n events.

    Parameters
    ----------
    high_us
        int64, shape (n,): time that the partition had come to just before each event.
    refused
        Position and reason of each event to refuse.
    unsettled
        Positions of events that the partition alone cannot judge: what the other partitions say decides.
    """

    high_us: Times
    refused: list[tuple[int, str]]
    unsettled: list[int]

    def of_accepted(self) -> Verdicts:
        """The verdicts on the events that are not refused, by their positions among each other."""
        refused = [position for position, _ in self.refused]
        unsettled = np.array(self.unsettled, np.int64)
        shifted = (unsettled - np.searchsorted(refused, unsettled)).tolist()
        return Verdicts(np.delete(self.high_us, refused), [], shifted)


@dataclass(slots=True)
class _Verdict:
    believed: bool = False
    refusal: str | None = None
    unsettled: bool = False


class TimeJudge:
    """Follows the time that one partition has come to, and refuses absurd event times.

    An event that leaps ahead by more than the allowed lateness moves the time only if most of the next events do not
    come late by it: of the next `NEXT`, and of the next `VOTERS`; beside other partitions, which hold the watermark,
    only if no other account's does. Otherwise it counts at its own time, and time stands still; but if it is more than
    `jump_us` ahead of the time and of most of the next events, and those are nearer to the time than to it, it is
    refused. Events that are late in any case are not asked, and events of the same account, which have the same clock,
    only where there are no others. So the verdict depends on the partition's order alone, not on how it was read.

    Where fewer than `VOTERS_MIN` events follow, a leap of up to `jump_us` is believed, and one of up to `SILENCE_DAYS`
    if those events bear it out. What is further ahead is unsettled: all partitions together judge it. A live run
    believes what the wall clock has reached, and no other time.

    Parameters
    ----------
    lateness_us
        The allowed lateness.
    jump_us
        A leap larger than this is refused if it is voted out.
    alone
        Whether there is no other partition.
    state
        What `state` gave.
    """

    def __init__(self, lateness_us: int, jump_us: int, state: Sequence[Any] = (), *, alone: bool = True) -> None:
        self.lateness_us = lateness_us
        self.leap_us = max(lateness_us, _LEAP_MIN_US)
        self.jump_us = jump_us
        self.alone = alone
        self._ahead = f"occurred_at: more than {jump_us // US_PER_DAY} days ahead of its partition"
        self.high_us, self.first_us, self.events = NO_TIME, NO_TIME, 0
        self.latest_us: tuple[int, ...] = ()
        """The greatest times of accepted events, at most `VOTERS_MIN`, ascending."""
        if state:
            self.high_us, self.first_us, self.events, self.latest_us = *state[:3], tuple(state[3])

    def state(self) -> tuple[Any, ...]:
        """Plain data for the constructor."""
        return self.high_us, self.first_us, self.events, self.latest_us

    def advance(self, high_us: int) -> None:
        """Take it that the partition has come to a time, whatever its events say."""
        self.high_us = max(self.high_us, high_us)

    def begin(self, first_us: int) -> int:
        """The least event time of the partition, which is no later than `first_us`."""
        self.first_us = first_us if self.first_us == NO_TIME else min(self.first_us, first_us)
        return self.first_us

    def judge(self, batch: TimedBatch, clock: Clock | None = None) -> Verdicts:
        """Judge a batch, which may grow meanwhile.

        Parameters
        ----------
        batch
            The events.
        clock
            The wall clock of a live run; None: a replay.
        """
        now_us = None if clock is None else clock()
        verdicts = Verdicts(np.zeros(0, np.int64), [], [])
        highs: list[Times] = []
        latest_us = END_OF_TIME if now_us is None else now_us + US_PER_DAY
        oldest_us = NO_TIME if now_us is None else now_us - BEHIND_DAYS_MAX * US_PER_DAY
        times = batch.times()
        start = 0
        while start < len(times):
            part = times[start : start + _AT_ONCE]
            before = np.maximum.accumulate(np.concatenate([[self.high_us], part]))[:-1]
            least = np.maximum(before - BEHIND_DAYS_MAX * US_PER_DAY, oldest_us)
            doubtful = (part - before > self.leap_us) | (part < least) | (part > latest_us)
            plain = int(np.argmax(doubtful)) if doubtful.any() else len(part)
            if plain:
                highs.append(before[:plain])
                self.high_us = max(self.high_us, int(part[:plain].max()))
                start += plain
            if plain < len(part):
                highs.append(np.array([self.high_us], np.int64))
                if part[plain] > latest_us:
                    verdict = _Verdict(refusal=AHEAD_OF_CLOCK)
                elif part[plain] < least[plain]:
                    verdict = _Verdict(refusal=BEHIND)
                else:
                    verdict = self._verdict(start, batch, now_us)
                    times = batch.times()
                self._heed(verdict, start, times, verdicts)
                start += 1
        verdicts.high_us = np.concatenate(highs) if highs else times[:0]
        self._count(np.delete(times, [position for position, _ in verdicts.refused]))
        return verdicts

    def _heed(self, verdict: _Verdict, position: int, times: Times, verdicts: Verdicts) -> None:
        if verdict.refusal is not None:
            verdicts.refused.append((position, verdict.refusal))
        elif verdict.believed:
            if self.high_us == NO_TIME:
                accepted = np.delete(times[: position + 1], [refused for refused, _ in verdicts.refused])
                self._first(accepted)
            self.high_us = int(times[position])
        elif verdict.unsettled:
            verdicts.unsettled.append(position)

    def _first(self, accepted: Times) -> None:
        if len(accepted):
            least = int(accepted.min())
            self.first_us = least if self.first_us == NO_TIME else min(self.first_us, least)

    def _count(self, accepted: Times) -> None:
        if self.high_us == NO_TIME:
            self._first(accepted)
        self.events += len(accepted)
        latest = np.concatenate([np.array(self.latest_us, np.int64), accepted])
        if len(latest) > VOTERS_MIN:
            latest = np.partition(latest, -VOTERS_MIN)[-VOTERS_MIN:]
        self.latest_us = tuple(np.sort(latest).tolist())

    def _verdict(self, position: int, batch: TimedBatch, now_us: int | None) -> _Verdict:
        """Judge an event that leaps ahead of the partition, or the first one."""
        leap_us, known = int(batch.times()[position]), self.high_us != NO_TIME
        due_us = self.high_us - self.leap_us if known else leap_us - self.jump_us
        voters, others, looked_at = self._voters(position, batch, due_us)
        enough = len(voters) >= VOTERS_MIN
        if not known and _share(voters > leap_us + BEHIND_DAYS_MAX * US_PER_DAY) >= 0.5:
            return _Verdict(refusal=BEHIND) if enough else _Verdict(unsettled=True)
        if enough:
            verdict = self._voted(leap_us, voters, others)
        elif now_us is not None:
            verdict = _Verdict(believed=True)
        else:
            verdict = self._hardly_voted(leap_us, voters, looked_at)
        if now_us is not None and leap_us > now_us + _LEAP_MIN_US:
            verdict.believed = False
        return verdict

    def _voted(self, leap_us: int, voters: Times, others: Times) -> _Verdict:
        on_time_us = leap_us - self.leap_us
        if min(_share(voters[:NEXT] >= on_time_us), _share(voters >= on_time_us)) >= 0.5:
            return _Verdict(believed=self.alone or not (others < on_time_us).any())
        if self.high_us == NO_TIME:
            return _Verdict()
        far_us = leap_us - max(self.high_us, int(np.median(voters)))
        absurd = far_us > self.jump_us and _share(voters >= (self.high_us + leap_us) // 2) < 0.5
        return _Verdict(refusal=self._ahead if absurd else None)

    def _hardly_voted(self, leap_us: int, voters: Times, looked_at: int) -> _Verdict:
        on_time = _share(voters >= leap_us - self.leap_us) >= 0.5
        if self.high_us == NO_TIME:
            return _Verdict(believed=on_time, unsettled=not on_time)
        ahead_us = leap_us - self.high_us
        if ahead_us <= self.jump_us or (on_time and ahead_us <= SILENCE_DAYS * US_PER_DAY):
            return _Verdict(believed=True)
        if looked_at < LOOK_AHEAD_EVENTS:
            return _Verdict(unsettled=True)
        # All that follows is late: nothing speaks for the leap, or against it.
        return _Verdict(refusal=self._ahead if ahead_us > SILENCE_DAYS_MAX * US_PER_DAY else None)

    def _voters(self, position: int, batch: TimedBatch, least_us: int) -> tuple[Times, Times, int]:
        """Times of the events that vote on an event; of other accounts' ones; and how many events were looked at."""
        while True:
            window = slice(position + 1, position + 1 + LOOK_AHEAD_EVENTS)
            times, numbers = batch.times(), batch.numbers()
            following = times[window]
            may_vote = following >= least_us
            others = following[may_vote & (numbers[window] != numbers[position])]
            if len(others) >= VOTERS or len(following) >= LOOK_AHEAD_EVENTS or len(batch.more()) == len(times):
                break
        chosen = others if len(others) >= VOTERS_MIN else following[may_vote]
        return chosen[:VOTERS], others[:VOTERS], len(following)


def _share(votes: NDArray[np.bool_]) -> float:
    return np.count_nonzero(votes) / max(1, len(votes))


def plausible_end(latest_us: Sequence[int], first_us: int, events: int) -> int:
    """The greatest event time that all partitions together make plausible.

    That is the time that `VOTERS_MIN` events have passed. The few that are later are believed as long as the silence
    before each is no longer than `SILENCE_DAYS`; or, where the input is sparse, `SILENCE_OF_SPACING` times the
    mean time between events; where nothing is known of that, and at most, `SILENCE_DAYS_MAX`.

    Parameters
    ----------
    latest_us
        The greatest event times of every partition, `VOTERS_MIN` each or all that it has; at least one.
    first_us
        The first event time.
    events
        Number of all events.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> plausible_end([6 * day, 7 * day, 8 * day, 8 * day, 97 * day], 0, 500) // day
    8
    >>> plausible_end([6 * day, 7 * day, 8 * day, 8 * day, 37 * day], 0, 500) // day
    37
    >>> plausible_end([0, 10 * day, 75 * day], 0, 3) // day
    75
    """
    times = sorted(latest_us)
    start = max(0, len(times) - VOTERS_MIN)
    end_us = times[start]
    for beyond, time_us in zip(range(len(times) - start - 1, 0, -1), times[start + 1 :], strict=True):
        silence_us = SILENCE_DAYS_MAX * US_PER_DAY
        steps = events - beyond - 1
        if steps >= VOTERS and end_us > first_us:  # fewer have no rhythm
            spacing_us = SILENCE_OF_SPACING * (end_us - first_us) // steps
            silence_us = min(silence_us, max(SILENCE_DAYS * US_PER_DAY, spacing_us))
        if time_us - end_us > silence_us:
            break
        end_us = time_us
    return end_us


def plausible_start(sure_us: Sequence[int], unsure_us: Sequence[int]) -> int | None:
    """The first event time that all partitions together make plausible; None without any.

    Parameters
    ----------
    sure_us
        First event times of partitions whose own events confirm them.
    unsure_us
        Event times of partitions that have too few events to tell. They count if they are less than
        `BEHIND_DAYS_MAX` before the sure ones; where there are none, before the middle of them all.
    """
    if not sure_us and not unsure_us:
        return None
    middle_us = min(sure_us) if sure_us else sorted(unsure_us)[len(unsure_us) // 2]
    oldest_us = middle_us - BEHIND_DAYS_MAX * US_PER_DAY
    return min([middle_us, *(time_us for time_us in unsure_us if time_us >= oldest_us)])
