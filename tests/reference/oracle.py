"""Features, activity and labels of every account at every tick, computed the slow and obvious way.

Nothing here imports the package, so that agreement between the two means something. An event is the
parsed JSON object of the input contract; a null field means the same as an absent one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

Event = dict[str, Any]
Row = dict[str, float | None]

TOPICS = ("product", "billing", "support")
DAY = timedelta(days=1)
CORE_ACTIONS = {"task_created", "task_completed", "comment_added", "file_uploaded"}
NEVER_A_CATEGORY = {"page_viewed", "session_start", "session_end"}
CATEGORY_OF_PREFIX = {
    "board_": "kanban_boards",
    "gantt_": "gantt_charts",
    "timeline_": "timelines",
    "automation_": "automations",
    "form_": "forms",
    "dashboard_": "dashboards",
    "integration_": "integrations",
    "report_": "reports",
    "api_": "api_access",
    "invite_sent": "team_invites",
}


@dataclass(frozen=True)
class Outcome:
    """What became of an account within the horizon after an as-of, and since which tick that is known."""

    churned: bool
    known_at: datetime


@dataclass
class Subscription:
    """What the billing events before some moment say."""

    mrr_cents: int | None = None
    seats: int | None = None
    renewal_at: datetime | None = None
    downgrades: tuple[date, ...] = ()


def parse_time(text: str) -> datetime:
    """RFC 3339 with an offset, as UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def midnight(day: date) -> datetime:
    """The UTC midnight that opens a date."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def first_midnight_after(moment: datetime) -> datetime:
    """The first UTC midnight strictly after a moment."""
    return midnight(moment.date()) + DAY


class Dated(NamedTuple):
    """An event and when it occurred."""

    at: datetime
    event: Event


def canonical(events: Iterable[Event]) -> list[Dated]:
    """One event an `event_id`, in the order (`occurred_at`, `event_id`)."""
    once: dict[str, Event] = {}
    for event in events:
        once.setdefault(event["event_id"], event)
    dated = [Dated(parse_time(event["occurred_at"]), event) for event in once.values()]
    return sorted(dated, key=lambda one: (one.at, one.event["event_id"]))


def category_of(event: Event) -> str | None:
    """The feature category that a product event counts for."""
    event_type = event["event_type"]
    if event_type in NEVER_A_CATEGORY:
        return None
    if event.get("feature") is not None:
        return str(event["feature"])
    for prefix, category in CATEGORY_OF_PREFIX.items():
        if event_type.startswith(prefix):
            return category
    return None


def ratio(above: float, below: float) -> float | None:
    """A quotient; null when the divisor is 0."""
    return above / below if below else None


def days_between(earlier: datetime, later: datetime) -> float:
    """Days from one moment to another, with the fraction."""
    return (later - earlier) / DAY


def users_of(events: Iterable[Event]) -> set[str]:
    """The distinct users of product events; an event without a user has none."""
    return {event["user_id"] for event in events if event.get("user_id") is not None}


class Account:
    """The events of one account, each topic's in the order (`occurred_at`, `event_id`)."""

    def __init__(self, topics: Mapping[str, list[Dated]]) -> None:
        self.topics = topics
        self.first = min(events[0].at for events in topics.values() if events)
        self.times = {topic: [dated.at for dated in events] for topic, events in topics.items()}
        self.by_date: dict[tuple[str, date], list[Event]] = defaultdict(list)
        for topic, events in topics.items():
            for dated in events:
                self.by_date[topic, dated.at.date()].append(dated.event)

    def ticks(self, watermark: datetime) -> Iterator[datetime]:
        """Every midnight after the first event, up to and including the watermark."""
        as_of = first_midnight_after(self.first)
        while as_of <= watermark:
            yield as_of
            as_of += DAY

    def before(self, topic: str, as_of: datetime) -> list[Dated]:
        """The events that count at an as-of."""
        return self.topics[topic][: bisect_left(self.times[topic], as_of)]

    def window(self, topic: str, as_of: datetime, days: int) -> list[Event]:
        """A topic's events on the complete dates before a midnight."""
        dates = [(as_of - n * DAY).date() for n in range(1, days + 1)]
        return [event for day in dates for event in self.by_date.get((topic, day), ())]

    def active(self, as_of: datetime) -> bool:
        """Whether the account is active: nothing, or a start, is newer than its latest cancellation."""
        active = True
        for _, event in self.before("billing", as_of):
            if event["event_type"] == "subscription_cancelled":
                active = False
            elif event["event_type"] == "subscription_started":
                active = True
        return active

    def subscription(self, as_of: datetime) -> Subscription:
        """Fold the billing events before an as-of, oldest first."""
        now = Subscription()
        for at, event in self.before("billing", as_of):
            kind = event["event_type"]
            mrr, seats, renewal = (event.get(name) for name in ("mrr_cents", "seats", "renewal_at"))
            if kind == "subscription_started":
                now.mrr_cents, now.seats = mrr, seats
                now.renewal_at = parse_time(renewal) if renewal is not None else None
            elif kind == "subscription_changed":
                if mrr is not None and now.mrr_cents is not None and mrr < now.mrr_cents:
                    now.downgrades += (at.date(),)
                now.mrr_cents = mrr if mrr is not None else now.mrr_cents
                now.seats = seats if seats is not None else now.seats
                now.renewal_at = parse_time(renewal) if renewal is not None else now.renewal_at
            elif kind == "subscription_cancelled":
                now.mrr_cents = 0
            if now.mrr_cents is None:
                now.mrr_cents = 0
        return now

    def features(self, as_of: datetime) -> Row:
        """The 21 features at a midnight."""
        return {**self._usage(as_of), **self._support(as_of), **self._billing(as_of)}

    def _dau(self, as_of: datetime, days: int) -> float:
        daily = [self.window("product", as_of - n * DAY, 1) for n in range(days)]
        return sum(len(users_of(events)) for events in daily) / days

    def _usage(self, as_of: datetime) -> Row:
        month = self.window("product", as_of, 30)
        types = [event["event_type"] for event in month]
        core_7d = sum(e["event_type"] in CORE_ACTIONS for e in self.window("product", as_of, 7))
        core_30d = sum(event_type in CORE_ACTIONS for event_type in types)
        comments = [event for event in month if event["event_type"] == "comment_added"]
        seen = self.before("product", as_of)
        return {
            "avg_dau_7d": self._dau(as_of, 7),
            "avg_dau_14d": self._dau(as_of, 14),
            "avg_dau_30d": self._dau(as_of, 30),
            "usage_trend_ratio_7d_30d": ratio(self._dau(as_of, 7), self._dau(as_of, 30)),
            "action_trend_ratio_7d_30d": ratio(core_7d / 7, core_30d / 30),
            "active_days_30d": sum(bool(self.window("product", as_of - n * DAY, 1)) for n in range(30)),
            "features_adopted_30d": len({category_of(event) for event in month} - {None}),
            "seat_utilization_30d": ratio(len(users_of(month)), self.subscription(as_of).seats or 0),
            "users_commenting_30d": len(users_of(comments)),
            "invites_sent_30d": types.count("invite_sent"),
            "export_requests_30d": types.count("export_requested"),
            "days_since_last_activity": days_between(seen[-1].at, as_of) if seen else None,
            "account_age_days": days_between(self.first, as_of),
        }

    def _support(self, as_of: datetime) -> Row:
        month = self.window("support", as_of, 30)
        tickets = [event for event in month if event["event_type"] == "ticket_opened"]
        csat = [event["score"] for event in month if event["event_type"] == "csat_submitted"]
        nps = [e for _, e in self.before("support", as_of) if e["event_type"] == "nps_submitted"]
        return {
            "support_tickets_30d": len(tickets),
            "urgent_tickets_30d": sum(ticket["priority"] in {"high", "urgent"} for ticket in tickets),
            "avg_csat_30d": ratio(sum(csat), len(csat)),
            "nps_score": nps[-1]["score"] if nps else None,
        }

    def _billing(self, as_of: datetime) -> Row:
        month = self.window("billing", as_of, 30)
        now = self.subscription(as_of)
        since = (as_of - 90 * DAY).date()
        return {
            "mrr_cents": now.mrr_cents,
            "downgraded_90d": float(any(day >= since for day in now.downgrades)),
            "payment_failures_30d": sum(event["event_type"] == "invoice_payment_failed" for event in month),
            "days_to_renewal": days_between(as_of, now.renewal_at) if now.renewal_at else None,
        }

    def outcome(self, as_of: datetime, horizon: timedelta, watermark: datetime) -> Outcome | None:
        """The label of an as-of; None while it is unknown at the watermark."""
        for cancelled, event in self.topics["billing"]:
            if event["event_type"] == "subscription_cancelled" and as_of <= cancelled < as_of + horizon:
                known_at = first_midnight_after(cancelled)
                return Outcome(True, known_at) if known_at <= watermark else None
        return Outcome(False, as_of + horizon) if as_of + horizon <= watermark else None


@dataclass(frozen=True)
class Truth:
    """What the tables must hold once a whole log has been replayed; keys are (account, as-of)."""

    features: dict[tuple[str, datetime], Row]
    outcomes: dict[tuple[str, datetime], Outcome]
    watermark: datetime


def truth_of(events: Mapping[str, Iterable[Event]], horizon_days: int = 60) -> Truth:
    """Compute everything from the accepted events of `product`, `billing` and `support`.

    Examples
    --------
    >>> seen = {"event_id": "1", "account_id": "a", "event_type": "page_viewed"}
    >>> truth = truth_of({"product": [seen | {"occurred_at": "2024-01-01T18:00:00Z"}],
    ...                   "support": [seen | {"occurred_at": "2024-01-02T00:00:00Z"}]})
    >>> [(account, str(as_of.date())) for account, as_of in truth.features]
    [('a', '2024-01-02')]
    >>> truth.features["a", truth.watermark]["days_since_last_activity"]
    0.25
    """
    by_account: dict[str, dict[str, list[Dated]]] = {}
    for topic in TOPICS:
        for dated in canonical(events.get(topic, ())):
            topics = by_account.setdefault(dated.event["account_id"], {topic: [] for topic in TOPICS})
            topics[topic].append(dated)
    accounts = {name: Account(topics) for name, topics in sorted(by_account.items())}
    watermark = max(times[-1] for account in accounts.values() for times in account.times.values() if times)
    horizon = timedelta(days=horizon_days)
    truth = Truth({}, {}, watermark)
    for name, account in accounts.items():
        for as_of in account.ticks(watermark):
            if not account.active(as_of):
                continue
            truth.features[name, as_of] = account.features(as_of)
            outcome = account.outcome(as_of, horizon, watermark)
            if outcome is not None:
                truth.outcomes[name, as_of] = outcome
    return truth
