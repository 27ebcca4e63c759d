"""Which event times move time: one wrong clock, or one absurd date, changes nothing but the account that has it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import END_OF_TIME, NO_TIME

Times = NDArray[np.int64]
JudgeState = tuple[int, int, int, int, int, Sequence[int]]
"""Plain data of a `TimeJudge`, in a snapshot."""

NEXT = 3
"""How many of the next events must not be late by a leap; those further on come later anyway."""
VOTERS = 8
VOTERS_MIN = 4
"""Fewer events than this, behind a leap or beyond a silence, prove nothing."""
VETOES_MAX = 2 * VOTERS
"""After this many vetoed leaps in a row, most of the voters decide: time does not stand still."""
LOOK_AHEAD_EVENTS = 1024
BURST_EVENTS = 16_384
"""How many events are looked at as long as they are all of one account."""
MANY = 64
"""This many events of an account prove more than a few do."""
BEHIND_DAYS_MAX = 3650
"""An event this far before the rest is refused: 1970 or 2001 is some program's zero, and no customer's history."""
LONE_DAYS = 7
"""One account's events are believed so far ahead of all others."""
SILENCE_DAYS = 45
"""The last few events are believed so far ahead of all others, if they are of two accounts."""
SILENCE_DAYS_MAX = 400
_LEAP_MIN_US = 60_000_000
_AT_ONCE = 1024

AHEAD_OF_CLOCK = "occurred_at: more than 1 day in the future"
BEHIND = f"occurred_at: more than {BEHIND_DAYS_MAX // 365} years before the rest of the input"
AHEAD = "occurred_at: too far ahead of the rest of the input"


class TimedBatch(Protocol):
    """Events of one partition, in its order, of which more can be read."""

    def times(self) -> Times:
        """Event times, int64 of shape (events,)."""

    def accounts(self, window: slice) -> NDArray[np.uint64]:
        """A hash of the account of each event in a window, uint64 of shape (window,)."""

    def due(self) -> int:
        """How many of the events are to be judged; those read ahead come with the next batch."""

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
        Positions of events that the partition alone cannot judge: the other partitions decide.
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

    An event that leaps ahead by more than the allowed lateness moves the time only if it makes few of the next events
    late. Most of the next `NEXT`, and of the next `VOTERS`, must not be late by it. Of the latter one may; beside other
    partitions, which hold the watermark, none, unless `VETOES_MAX` leaps in a row have failed by that. An event that
    does not move the time counts at its own time. But it is refused if it is more than `jump_us` ahead of the time and
    of most of the next events, and those are nearer to the time than to it. Events that are late in any case are not
    asked, and events of the same account, which have the same clock, only where there are no others. Those prove a leap
    of `LONE_DAYS`, `MANY` of them one of `SILENCE_DAYS`, and any leap if they are `LOOK_AHEAD_EVENTS`, or in an input
    of one partition with few accounts. So the verdict depends on the partition's order alone, not on how it was read.

    Where fewer than `VOTERS_MIN` events follow, a leap of up to `jump_us` is believed, and one of up to `SILENCE_DAYS`
    if those events bear it out, one of another account among them. A live run believes what the wall clock has reached,
    and no other time.

    What is neither believed nor refused is unsettled, for all partitions together to judge, if it is ahead of the time
    by more than `jump_us`. So it is if no time is known yet and too few events follow.

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

    def __init__(
        self, lateness_us: int, jump_us: int, state: JudgeState | tuple[()] = (), *, alone: bool = True
    ) -> None:
        self.lateness_us = lateness_us
        self.leap_us = max(lateness_us, _LEAP_MIN_US)
        self.jump_us = jump_us
        self._near_us = min(jump_us, LONE_DAYS * US_PER_DAY)
        self.alone = alone
        self._ahead = f"occurred_at: more than {jump_us // US_PER_DAY} days ahead of its partition"
        self.high_us, self.first_us, self.latest_us, self.events, self._vetoes = NO_TIME, NO_TIME, NO_TIME, 0, 0
        """`latest_us`: the greatest time of a settled event; `events`: how many are settled."""
        self.accounts: tuple[int, ...] = ()
        """Hashes of the first `VOTERS` accounts of settled events."""
        if state:
            self.high_us, self.first_us, self.latest_us, self.events, self._vetoes, accounts = state
            self.accounts = tuple(accounts)

    def state(self) -> JudgeState:
        """Plain data for the constructor."""
        return self.high_us, self.first_us, self.latest_us, self.events, self._vetoes, self.accounts

    def advance(self, high_us: int) -> None:
        """Move the partition's time forward, whatever the times of its events."""
        self.high_us = max(self.high_us, high_us)

    def begin(self, first_us: int) -> int:
        """The least event time of the partition, which is no later than `first_us`."""
        self.first_us = first_us if self.first_us == NO_TIME else min(self.first_us, first_us)
        return self.first_us

    def judge(self, batch: TimedBatch, clock: Clock | None = None) -> Verdicts:
        """Judge the events of a batch that are due.

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
        oldest_us = NO_TIME if now_us is None else oldest_plausible(now_us)
        confirmed: NDArray[np.bool_] | None = None
        start = self._counted = 0
        while start < (due := batch.due()):
            part = batch.times()[start : min(start + _AT_ONCE, due)]
            before = np.maximum.accumulate(np.concatenate([[self.high_us], part]))[:-1]
            least = np.maximum(before - BEHIND_DAYS_MAX * US_PER_DAY, oldest_us)
            leaps = part - before > self.leap_us
            if self.high_us != NO_TIME and leaps.any():
                confirmed = self._confirmed_leaps(batch, now_us) if confirmed is None else confirmed
                leaps[: max(0, len(confirmed) - start)] &= ~confirmed[start : start + len(part)]
            doubtful = leaps | (part < least) | (part > latest_us)
            plain = int(np.argmax(doubtful)) if doubtful.any() else len(part)
            if plain:
                if (part[:plain] - before[:plain] > self.leap_us).any():
                    self._vetoes = 0
                highs.append(before[:plain])
                self.high_us = max(self.high_us, int(part[:plain].max()))
            if plain < len(part):
                highs.append(np.array([self.high_us], np.int64))
                if part[plain] > latest_us:
                    verdict = _Verdict(refusal=AHEAD_OF_CLOCK)
                elif part[plain] < least[plain]:
                    verdict = _Verdict(refusal=BEHIND)
                else:
                    self._count(batch, start + plain, verdicts)
                    verdict = self._verdict(start + plain, batch, now_us)
                self._apply(verdict, start + plain, batch, verdicts)
            start += min(plain + 1, len(part))
        verdicts.high_us = np.concatenate(highs) if highs else np.zeros(0, np.int64)
        self._count(batch, start, verdicts)
        return verdicts

    def _confirmed_leaps(self, batch: TimedBatch, now_us: int | None) -> NDArray[np.bool_]:
        """Which events, were they leaps, all of the next `VOTERS` confirm, all of other accounts: most of them."""
        times, accounts = batch.times(), batch.accounts(slice(None))
        if len(times) <= VOTERS:
            return np.zeros(0, np.bool_)
        followers = sliding_window_view(times, VOTERS)[1:]
        of_others = (sliding_window_view(accounts, VOTERS)[1:] != accounts[:-VOTERS, None]).all(axis=1)
        leap_us = times[:-VOTERS]
        confirmed: NDArray[np.bool_] = of_others & (followers.min(axis=1) >= leap_us - self.leap_us)
        return confirmed if now_us is None else confirmed & (leap_us <= now_us + _LEAP_MIN_US)

    def _apply(self, verdict: _Verdict, position: int, batch: TimedBatch, verdicts: Verdicts) -> None:
        if verdict.refusal is not None:
            verdicts.refused.append((position, verdict.refusal))
        elif verdict.believed:
            time_us = int(batch.times()[position])
            if self.high_us == NO_TIME:
                self.begin(time_us)
            self.high_us = time_us
        elif verdict.unsettled:
            verdicts.unsettled.append(position)

    def _count(self, batch: TimedBatch, judged: int, verdicts: Verdicts) -> None:
        """Take note of the settled ones of the events judged so far."""
        since, self._counted = slice(self._counted, judged), judged
        chosen = _settled(since, verdicts)
        times = batch.times()[since][chosen]
        if not len(times):
            return
        if self.high_us == NO_TIME:
            self.begin(int(times.min()))
        self.events += len(times)
        self.latest_us = max(self.latest_us, int(times.max()))
        if len(self.accounts) < VOTERS:
            met, first = np.unique(batch.accounts(since)[chosen], return_index=True)
            in_order = met[np.argsort(first)].tolist()
            self.accounts = tuple(dict.fromkeys((*self.accounts, *in_order)))[:VOTERS]

    def _verdict(self, position: int, batch: TimedBatch, now_us: int | None) -> _Verdict:
        """Judge an event that leaps ahead of the partition, or the first one."""
        leap_us, known = int(batch.times()[position]), self.high_us != NO_TIME
        due_us = self.high_us - self.leap_us if known else leap_us - self.jump_us
        voters, others, on_time, looked_at, backed = self._voters(position, batch, due_us)
        ahead_us = leap_us - self.high_us if known else 0
        enough = len(voters) >= VOTERS_MIN
        if not known and _share(voters > leap_us + BEHIND_DAYS_MAX * US_PER_DAY) >= 0.5:
            return _Verdict(refusal=BEHIND) if enough else _Verdict(unsettled=True)
        # The first event has nothing to be ahead of, and may be ahead of all others.
        of_own = ahead_us <= self._provable_us(on_time) if known else backed
        voted = enough and (len(others) >= VOTERS_MIN or of_own)
        if voted:
            verdict = self._voted(leap_us, voters, others)
        elif now_us is not None:
            verdict = _Verdict(believed=True)
        else:
            verdict = self._voted_by_few(leap_us, voters, others, looked_at, backed=backed)
        if now_us is not None and leap_us > now_us + _LEAP_MIN_US:
            verdict.believed = False
        doubtful = ahead_us > self._near_us if known else not voted
        verdict.unsettled = doubtful and verdict.refusal is None and not verdict.believed
        return verdict

    def _provable_us(self, on_time: int) -> int:
        """How far a leap can be that an account's own events prove, given how many of them are not late by it."""
        if on_time >= LOOK_AHEAD_EVENTS or self._few_alone():
            return END_OF_TIME
        return (SILENCE_DAYS if on_time >= MANY else LONE_DAYS) * US_PER_DAY

    def _few_alone(self) -> bool:
        """Whether the partition is the input, and has few accounts: there may be nobody else to ask."""
        return self.alone and len(self.accounts) < VOTERS

    def _voted(self, leap_us: int, voters: Times, others: Times) -> _Verdict:
        on_time_us = leap_us - self.leap_us
        if min(_share(voters[:NEXT] >= on_time_us), _share(voters >= on_time_us)) >= 0.5:
            vetoed = np.count_nonzero(others < on_time_us) > self.alone and self._vetoes < VETOES_MAX
            self._vetoes = self._vetoes + 1 if vetoed else 0
            return _Verdict(believed=not vetoed)
        if self.high_us == NO_TIME:
            return _Verdict()
        far_us = leap_us - max(self.high_us, int(np.median(voters)))
        absurd = far_us > self.jump_us and _share(voters >= (self.high_us + leap_us) // 2) < 0.5
        return _Verdict(refusal=self._ahead if absurd else None)

    def _voted_by_few(self, leap_us: int, voters: Times, others: Times, looked_at: int, *, backed: bool) -> _Verdict:
        on_time_us = leap_us - self.leap_us
        on_time = _share(voters >= on_time_us) >= 0.5
        if self.high_us == NO_TIME:
            return _Verdict(believed=on_time and backed)
        ahead_us = leap_us - self.high_us
        of_another = self._few_alone() or bool((others >= on_time_us).any())
        confirmed = on_time and of_another and ahead_us <= SILENCE_DAYS * US_PER_DAY
        if ahead_us <= self._near_us or confirmed:
            return _Verdict(believed=True)
        # Where all that follows is late, nothing speaks for the leap, or against it.
        absurd = looked_at >= LOOK_AHEAD_EVENTS and ahead_us > SILENCE_DAYS_MAX * US_PER_DAY
        return _Verdict(refusal=self._ahead if absurd else None)

    def _voters(self, position: int, batch: TimedBatch, least_us: int) -> tuple[Times, Times, int, int, bool]:
        """What follows an event.

        Returns
        -------
        Times of the events that vote on it; of other accounts' ones; how many events are not late by it; how many were
        looked at; and whether half of their accounts, its own among them, have one that is not late.
        """
        on_time_us = int(batch.times()[position]) - self.leap_us
        own = batch.accounts(slice(position, position + 1))
        look = MANY
        while True:
            window = slice(position + 1, position + 1 + look)
            times = batch.times()
            following, accounts = times[window], batch.accounts(window)
            may_vote = following >= least_us
            others = following[may_vote & (accounts != own)]
            look_max = LOOK_AHEAD_EVENTS if (accounts != own).any() else BURST_EVENTS
            if len(others) >= VOTERS or len(following) >= look_max:
                break
            if len(following) >= look:
                look = look_max
            elif len(batch.more()) == len(times):
                break
        chosen = others if len(others) >= VOTERS_MIN else following[may_vote]
        on_time = following >= on_time_us
        asked, agreeing = (len(np.union1d(each, own)) for each in (accounts, accounts[on_time]))
        return chosen[:VOTERS], others[:VOTERS], int(np.count_nonzero(on_time)), len(following), 2 * agreeing >= asked


def _settled(window: slice, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Which events of a window that ends with the last one judged are neither refused nor unsettled."""
    refused = verdicts.refused[bisect_left(verdicts.refused, window.start, key=itemgetter(0)) :]
    unsettled = verdicts.unsettled[bisect_left(verdicts.unsettled, window.start) :]
    settled = np.ones(window.stop - window.start, np.bool_)
    settled[[position - window.start for position in (*(place for place, _ in refused), *unsettled)]] = False
    return settled


def _share(votes: NDArray[np.bool_]) -> float:
    return np.count_nonzero(votes) / max(1, len(votes))


def oldest_plausible(time_us: int) -> int:
    """An event before this is too far behind a time."""
    return time_us - BEHIND_DAYS_MAX * US_PER_DAY
