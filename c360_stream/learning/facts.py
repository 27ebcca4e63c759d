"""What a feature's value says, in words: one sentence a feature, with its number and its window."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from c360_stream.features.definitions import FEATURES


class Fact(NamedTuple):
    """A plain statement, and how to put it where it is plainly bad news (None: it is not)."""

    text: str
    bad: str | None = None


def fact(column: int, value: float | None) -> Fact:
    """The fact about the value (None for null) of the feature in a column of the feature matrix."""
    if value is None:
        return _NULL[column]
    return _STATED[column](value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _amount(value: float, one: str, many: str) -> str:
    whole = round(value)
    return f"1 {one}" if whole == 1 else f"{whole:,} {many}"


def _span(days: float) -> str:
    return _amount(days, "day", "days") if days >= 0.98 else _amount(days * 24, "hour", "hours")


def _bad(text: str, bad: bool) -> Fact:
    return Fact(text, text if bad else None)


def _active_users(days: int) -> Callable[[float], Fact]:
    def state(value: float) -> Fact:
        if value == 0:
            return _bad(f"No active users in {days} days", True)
        shown = _number(value) if value >= 0.05 else "Under 0.1"
        return Fact(f"{shown} active users a day on average over {days} days")

    return state


# Of the month against its last 7 days: at 30 / 7 nothing was before them.
_ALL_LATELY = 4.28


def _trend(what: str) -> Callable[[float], Fact]:
    def state(value: float) -> Fact:
        if value == 0:
            return _bad(f"No {what} in 7 days, after some earlier in the month", True)
        percent = round(abs(value - 1) * 100)
        if value > _ALL_LATELY:
            return Fact(f"All {what} of the month were in its last 7 days")
        if percent == 0:
            return Fact(f"{what.capitalize()} held level with the month's average")
        if value > 1:
            return Fact(f"{what.capitalize()} rose {percent:,}% against the month's average")
        return _bad(f"{what.capitalize()} fell {min(percent, 99)}% against the month's average", True)

    return state


def _count(one: str, many: str, days: int, *, bad: bool = False) -> Callable[[float], Fact]:
    """Of something counted over a window; `bad` if any of it is bad news."""

    def state(value: float) -> Fact:
        if round(value) == 0:
            return Fact(f"No {many} in {days} days")
        return _bad(f"{_amount(value, one, many)} in {days} days", bad)

    return state


def _active_days(value: float) -> Fact:
    if round(value) == 0:
        return _bad("Not active on any of the last 30 days", True)
    text = f"ctive on {_amount(value, 'day', 'days')} of the last 30"
    return Fact(f"A{text}", f"Only a{text}" if value < 10 else None)


def _adopted(value: float) -> Fact:
    if round(value) == 0:
        return _bad("No product feature used in 30 days", True)
    text = f"{_amount(value, 'product feature', 'product features')} used in 30 days"
    return Fact(text, f"Only {text}" if value < 3 else None)


def _seats(value: float) -> Fact:
    percent = round(value * 100)
    if value == 0:
        return _bad("No seat was used in 30 days", True)
    text = f"{percent:,}% of seats are used" if percent else "Under 1% of seats are used"
    return Fact(text, None if value >= 0.5 else f"Only {text}" if percent else text)


def _csat(value: float) -> Fact:
    return _bad(f"Satisfaction (CSAT) averaged {value:.1f} of 5 in 30 days", value < 3)


def _nps(value: float) -> Fact:
    return _bad(f"The latest NPS answer was {value:.0f} of 10", value <= 6)


def _silence(value: float) -> Fact:
    if value * 24 < 0.5:
        return Fact("Last product activity less than an hour ago")
    if value < 0.98:
        return Fact(f"Last product activity {_span(value)} ago")
    return _bad(f"No product activity for {_span(value)}", value >= 3)


def _mrr(value: float) -> Fact:
    return Fact(f"MRR is {value / 100:,.2f}" if value else "MRR is zero")


def _downgraded(value: float) -> Fact:
    return _bad("MRR was cut in the last 90 days", True) if value else Fact("MRR was not cut in the last 90 days")


def _age(value: float) -> Fact:
    return Fact(f"Customer for {_span(value)}")


def _renewal(value: float) -> Fact:
    if value < 0:
        return Fact(f"The renewal date passed {_span(-value)} ago")
    return _bad(f"Renewal is due in {_span(value)}", value <= 60)


_FACTS: dict[str, tuple[Callable[[float], Fact], Fact]] = {
    "avg_dau_7d": (_active_users(7), Fact("Active users over 7 days are unknown")),
    "avg_dau_14d": (_active_users(14), Fact("Active users over 14 days are unknown")),
    "avg_dau_30d": (_active_users(30), Fact("Active users over 30 days are unknown")),
    "usage_trend_ratio_7d_30d": (_trend("active users"), _bad("No active users in 30 days to compare with", True)),
    "action_trend_ratio_7d_30d": (_trend("core actions"), _bad("No core actions in 30 days to compare with", True)),
    "active_days_30d": (_active_days, Fact("Active days in 30 days are unknown")),
    "features_adopted_30d": (_adopted, Fact("Product features used in 30 days are unknown")),
    "seat_utilization_30d": (_seats, Fact("The number of seats is unknown")),
    "users_commenting_30d": (
        _count("user commented", "users commented", 30),
        Fact("Users who comment are unknown"),
    ),
    "invites_sent_30d": (_count("invite sent", "invites sent", 30), Fact("Invites sent are unknown")),
    "export_requests_30d": (
        _count("export requested", "exports requested", 30),
        Fact("Exports requested are unknown"),
    ),
    "support_tickets_30d": (
        _count("support ticket", "support tickets", 30, bad=True),
        Fact("Support tickets are unknown"),
    ),
    "urgent_tickets_30d": (
        _count("urgent ticket", "urgent tickets", 30, bad=True),
        Fact("Urgent tickets are unknown"),
    ),
    "avg_csat_30d": (_csat, Fact("No satisfaction (CSAT) answer in 30 days")),
    "nps_score": (_nps, Fact("No NPS answer so far")),
    "days_since_last_activity": (_silence, _bad("No product activity so far", True)),
    "mrr_cents": (_mrr, Fact("No billing event so far, MRR is unknown")),
    "downgraded_90d": (_downgraded, Fact("Changes of MRR in 90 days are unknown")),
    "payment_failures_30d": (
        _count("payment failure", "payment failures", 30, bad=True),
        Fact("Payment failures are unknown"),
    ),
    "account_age_days": (_age, Fact("The account's age is unknown")),
    "days_to_renewal": (_renewal, Fact("The renewal date is unknown")),
}
_STATED = [_FACTS[name][0] for name in FEATURES]
_NULL = [_FACTS[name][1] for name in FEATURES]
