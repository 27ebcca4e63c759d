"""From when to when an input reaches: the first and the last event time that all partitions together make plausible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import NO_TIME
from c360_stream.features.plausibility import (
    LONE_DAYS,
    SILENCE_DAYS,
    SILENCE_DAYS_MAX,
    VOTERS,
    VOTERS_MIN,
    oldest_plausible,
)

SILENCE_OF_SPACING = 32
"""The last events are believed further ahead if the input is sparse: by this many mean times between its events."""


def plausible_end(
    latest_us: int, unsettled: Collection[tuple[int, int]], first_us: int, events: int, accounts: Iterable[int]
) -> int:
    """The greatest event time that all partitions together make plausible.

    That is the greatest time of a settled event, or what unsettled ones of `VOTERS_MIN` accounts have passed. The few
    that are later are believed as long as the silence before each is no longer than `SILENCE_DAYS`. Where the input is
    sparse, the bound is `SILENCE_OF_SPACING` times the mean time between events. Where nothing is known of that, and at
    most, it is `SILENCE_DAYS_MAX`. Those of the last account are believed for `LONE_DAYS` instead of `SILENCE_DAYS`. In
    an input of fewer than `VOTERS` accounts every event counts as if it were of another one.

    Parameters
    ----------
    latest_us
        The greatest time of a settled event of any partition; `NO_TIME` without any.
    unsettled
        Time and account of every unsettled event; at least one if no event is settled.
    first_us
        The first event time.
    events
        Number of settled events.
    accounts
        Accounts of settled events: all, or `VOTERS`.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> plausible_end(8 * day, [(16 * day, 1)], 0, 500, range(8)) // day
    8
    >>> plausible_end(8 * day, [(37 * day, 1), (35 * day, 2)], 0, 500, range(8)) // day
    37
    >>> plausible_end(8 * day, [(97 * day, account) for account in range(4)], 0, 500, range(8)) // day
    97
    """
    beyond = sorted((time_us, account) for time_us, account in unsettled if time_us > latest_us)
    many = len({account for _, account in beyond} | set(accounts)) >= VOTERS
    witnesses, met = list[int](), set[int]()
    for number, (_, account) in enumerate(reversed(beyond)):
        met.add(account if many else number)
        witnesses.append(len(met))
    end_us = beyond[0][0] if latest_us == NO_TIME else latest_us
    lone_from_us: int | None = None
    for before, ((time_us, _), of_accounts) in enumerate(zip(beyond, reversed(witnesses), strict=True)):
        if many and of_accounts == 1:
            lone_from_us = end_us if lone_from_us is None else lone_from_us
        silence_us = SILENCE_DAYS_MAX * US_PER_DAY
        steps = events + before - 1
        if steps >= VOTERS and end_us > first_us:  # fewer have no rhythm
            believed_us = (SILENCE_DAYS if lone_from_us is None else LONE_DAYS) * US_PER_DAY
            silence_us = min(silence_us, max(believed_us, SILENCE_OF_SPACING * (end_us - first_us) // steps))
        since_us = end_us if lone_from_us is None else lone_from_us
        if of_accounts < VOTERS_MIN and time_us - since_us > silence_us:
            break
        end_us = max(end_us, time_us)
    return end_us


def plausible_start(sure_us: Sequence[int], unsure_us: Sequence[int]) -> int | None:
    """The first event time that all partitions together make plausible; None without any.

    Parameters
    ----------
    sure_us
        First event times of partitions whose own events confirm them.
    unsure_us
        Event times of partitions that confirm none. They count if they are less than
        `BEHIND_DAYS_MAX` before the sure ones; where there are none, before the middle of them all.
    """
    if not sure_us and not unsure_us:
        return None
    middle_us = min(sure_us) if sure_us else sorted(unsure_us)[len(unsure_us) // 2]
    oldest_us = oldest_plausible(middle_us)
    return min([middle_us, *(time_us for time_us in unsure_us if time_us >= oldest_us)])
