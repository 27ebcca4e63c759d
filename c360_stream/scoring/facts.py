"""A feature's value in words: one sentence per feature, with its number and its window."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from c360_stream.features.definitions import FEATURES, SPECS, Tone


class Fact(NamedTuple):
    """A plain statement, and how it sounds: bad news, good news, or neither."""

    text: str
    tone: Tone


def fact(column: int, value: float | None) -> Fact:
    """The fact about the value (None for null) of the feature in a column of the feature matrix."""
    tone = SPECS[column].tone(value)
    return Fact(_NULL[column] if value is None else _STATED[column](value, tone), tone)


# Words for a value, given how it sounds.
Stated = Callable[[float, Tone], str]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _amount(value: float, one: str, many: str) -> str:
    whole = round(value)
    return f"1 {one}" if whole == 1 else f"{whole:,} {many}"


def _span(days: float) -> str:
    return _amount(days, "day", "days") if days >= 0.98 else _amount(days * 24, "hour", "hours")


def _active_users(days: int) -> Stated:
    def state(value: float, tone: Tone) -> str:
        if value == 0:
            return f"No active users in {days} days"
        if value < 0.05:
            return f"Under 0.1 active users a day on average over {days} days"
        text = f"{_number(value)} active users a day on average over {days} days"
        return f"Only {text}" if tone is Tone.BAD else text

    return state


# Of the month against its last 7 days: at 30 / 7 nothing was before them.
_ALL_LATELY = 4.28


def _trend(what: str) -> Stated:
    def state(value: float, tone: Tone) -> str:
        percent = round(abs(value - 1) * 100)
        if value == 0:
            return f"No {what} in 7 days, after some earlier in the month"
        if value > _ALL_LATELY:
            return f"All {what} of the month were in its last 7 days"
        if tone is Tone.BAD:
            return f"{what.capitalize()} fell {min(percent, 99)}% against the month's average"
        if tone is Tone.GOOD:
            return f"{what.capitalize()} rose {percent:,}% against the month's average"
        return f"{what.capitalize()} held level with the month's average"

    return state


def _count(one: str, many: str, days: int) -> Stated:
    def state(value: float, _: Tone) -> str:
        return f"{_amount(value, one, many)} in {days} days" if round(value) else f"No {many} in {days} days"

    return state


def _active_days(value: float, tone: Tone) -> str:
    if round(value) == 0:
        return "Not active on any of the last 30 days"
    days = _amount(value, "day", "days")
    return f"Only active on {days} of the last 30" if tone is Tone.BAD else f"Active on {days} of the last 30"


def _adopted(value: float, tone: Tone) -> str:
    if round(value) == 0:
        return "No product feature used in 30 days"
    text = f"{_amount(value, 'product feature', 'product features')} used in 30 days"
    return f"Only {text}" if tone is Tone.BAD else text


def _seats(value: float, tone: Tone) -> str:
    percent = round(value * 100)
    if value == 0:
        return "No seat was used in 30 days"
    if percent == 0:
        return "Under 1% of seats are used"
    return f"Only {percent:,}% of seats are used" if tone is Tone.BAD else f"{percent:,}% of seats are used"


def _csat(value: float, _: Tone) -> str:
    return f"Satisfaction (CSAT) averaged {value:.1f} of 5 in 30 days"


def _nps(value: float, _: Tone) -> str:
    return f"The latest NPS answer was {value:.0f} of 10"


def _silence(value: float, tone: Tone) -> str:
    if value * 24 < 0.5:
        return "Last product activity less than an hour ago"
    if tone is Tone.BAD:
        return _silent(round(value))
    return _seen(round(value * 24) if value < 0.98 else round(value) * 24)


# The one feature that is another number for every account and often a reason: its sentences repeat, though.
@lru_cache(maxsize=128)
def _seen(hours: int) -> str:
    return f"Last product activity {_span(hours / 24)} ago"


@lru_cache(maxsize=1024)
def _silent(days: int) -> str:
    return f"No product activity for {_amount(days, 'day', 'days')}"


def _mrr(value: float, _: Tone) -> str:
    return f"MRR is {value / 100:,.2f}" if value else "MRR is zero"


def _downgraded(value: float, _: Tone) -> str:
    return "MRR was cut in the last 90 days" if value else "MRR was not cut in the last 90 days"


def _age(value: float, _: Tone) -> str:
    return f"Customer for {_span(value)}"


def _renewal(value: float, _: Tone) -> str:
    return f"The renewal date passed {_span(-value)} ago" if value < 0 else f"Renewal is due in {_span(value)}"


# By feature: words for a value, and for its absence.
_FACTS: dict[str, tuple[Stated, str]] = {
    "avg_dau_7d": (_active_users(7), "Active users over 7 days are unknown"),
    "avg_dau_14d": (_active_users(14), "Active users over 14 days are unknown"),
    "avg_dau_30d": (_active_users(30), "Active users over 30 days are unknown"),
    "usage_trend_ratio_7d_30d": (_trend("active users"), "No active users in 30 days to compare with"),
    "action_trend_ratio_7d_30d": (_trend("core actions"), "No core actions in 30 days to compare with"),
    "active_days_30d": (_active_days, "Active days in 30 days are unknown"),
    "features_adopted_30d": (_adopted, "Product features used in 30 days are unknown"),
    "seat_utilization_30d": (_seats, "The number of seats is unknown"),
    "users_commenting_30d": (_count("user commented", "users commented", 30), "Users who comment are unknown"),
    "invites_sent_30d": (_count("invite sent", "invites sent", 30), "Invites sent are unknown"),
    "export_requests_30d": (_count("export requested", "exports requested", 30), "Exports requested are unknown"),
    "support_tickets_30d": (_count("support ticket", "support tickets", 30), "Support tickets are unknown"),
    "urgent_tickets_30d": (_count("urgent ticket", "urgent tickets", 30), "Urgent tickets are unknown"),
    "avg_csat_30d": (_csat, "No satisfaction (CSAT) answer in 30 days"),
    "nps_score": (_nps, "No NPS answer so far"),
    "days_since_last_activity": (_silence, "No product activity so far"),
    "mrr_cents": (_mrr, "No billing event so far, MRR is unknown"),
    "downgraded_90d": (_downgraded, "Changes of MRR in 90 days are unknown"),
    "payment_failures_30d": (_count("payment failure", "payment failures", 30), "Payment failures are unknown"),
    "account_age_days": (_age, "The account's age is unknown"),
    "days_to_renewal": (_renewal, "The renewal date is unknown"),
}
_STATED = [_FACTS[name][0] for name in FEATURES]
_NULL = [_FACTS[name][1] for name in FEATURES]
