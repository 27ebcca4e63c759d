"""Small random companies, written as a messy log: the hard cases of the definitions on purpose.

The generator shares nothing with the product's simulator. Run it to get a world to replay by hand:

    python -m tests.reference.worlds --out DIR --accounts 200 --days 120 --seed 1
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from tests.reference.log import Mess, WrittenLog, write_log
from tests.reference.oracle import Event

ZONES = (
    *(UTC,) * 4,
    timezone(timedelta(hours=5, minutes=30)),
    timezone(-timedelta(hours=8)),
    timezone(timedelta(hours=14)),
    timezone(-timedelta(hours=3, minutes=30)),
)
PRODUCT_TYPES = (
    *("page_viewed", "page_viewed", "session_start", "session_end", "task_created", "task_completed"),
    *("comment_added", "comment_added", "file_uploaded", "invite_sent", "export_requested", "search_run"),
    *("board_created", "gantt_opened", "timeline_zoomed", "automation_run", "form_sent", "dashboard_viewed"),
    *("integration_added", "report_built", "api_called", "apis_listed"),
)
FEATURES = ("kanban_boards", "api_access", "whiteboards", "Übersicht", "reports")
PLANS = ("starter", "team", "business", "企業")
NAMES = ("acct", "kühn & söhne", "株式会社", "Ёлка «Ягуар»", "🚀", "a'b\"c\\d", "x/y z", "cafe\u0301")


@dataclass(frozen=True)
class WorldSpec:
    """Size and seed of a world."""

    seed: int
    accounts: int = 24
    days: int = 110
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    product_events_a_day: float = 6.0


@dataclass
class AccountLife:
    """One account while its events are being made up."""

    spec: WorldSpec
    random: random.Random
    account_id: str
    opened: float
    events: dict[str, list[Event]] = field(default_factory=lambda: {"product": [], "billing": [], "support": []})
    used_at: list[datetime] = field(default_factory=list)

    def moment(self, day: float) -> datetime:
        """A time near a day since the start: sometimes exactly midnight, sometimes that of another event."""
        if self.used_at and self.random.random() < 0.03:
            return self.random.choice(self.used_at)
        if self.random.random() < 0.04:
            return self.spec.start + timedelta(days=int(day))
        step = self.random.choice((timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1)))
        return self.spec.start + timedelta(days=day) // step * step

    def emit(self, topic: str, day: float, event_type: str, **fields: object) -> None:
        """Add an event unless it lies after the world's end; absent fields are None or left out."""
        self.emit_at(topic, self.moment(max(day, self.opened)), event_type, **fields)

    def emit_at(self, topic: str, at: datetime, event_type: str, **fields: object) -> None:
        """Add an event at exactly this time."""
        if at >= self.spec.start + timedelta(days=self.spec.days):
            return
        self.used_at.append(at)
        event: Event = {
            "event_id": f"{self.random.getrandbits(64):016x}",
            "account_id": self.account_id,
            "event_type": event_type,
            "occurred_at": format_time(at, self.random),
        }
        for name, value in fields.items():
            if value is not None or self.random.random() < 0.5:
                event[name] = value
        if self.random.random() < 0.05:
            event["extra"] = {"ignored": [1, None, "NaN"]}
        self.events[topic].append(event)

    def maybe(self, probability: float, value: object) -> object | None:
        """The value, or None."""
        return value if self.random.random() < probability else None


def format_time(at: datetime, source: random.Random) -> str:
    """RFC 3339 in a random zone, `Z` or an offset."""
    text = at.astimezone(source.choice(ZONES)).isoformat()
    return text.replace("+00:00", "Z") if source.random() < 0.7 else text


def live_product(life: AccountLife) -> None:
    """Users come and go on the weekdays; many accounts fade out from some day on."""
    draw = life.random
    users = [f"{life.account_id}-u{n}" for n in range(draw.randint(1, 9))]
    rate = life.spec.product_events_a_day * draw.uniform(0.2, 1.8)
    fades_at = draw.uniform(0.3, 2.0) * life.spec.days
    for day in range(int(life.opened), life.spec.days):
        weekend = (life.spec.start + timedelta(days=day)).weekday() >= 5
        pace = rate * (0.15 if weekend else 1.0) * (0.1 if day > fades_at else 1.0)
        for _ in range(min(int(draw.expovariate(1 / pace)), 40)):
            life.emit(
                "product",
                day + draw.random(),
                draw.choice(PRODUCT_TYPES),
                user_id=life.maybe(0.9, draw.choice(users)),
                feature=life.maybe(0.1, draw.choice(FEATURES)),
            )


def live_support(life: AccountLife) -> None:
    """Tickets with priorities, answers to CSAT and NPS, some of them at the same instant."""
    draw = life.random
    day = life.opened
    while (day := day + draw.expovariate(1 / 5)) < life.spec.days:
        ticket = f"T{draw.randint(1, 10**6)}"
        kind = draw.choice(("ticket", "ticket", "csat", "nps", "nps pair", "contact"))
        if kind == "ticket":
            priority = draw.choice(("low", "normal", "high", "urgent"))
            life.emit(
                *("support", day, "ticket_opened"),
                ticket_id=ticket,
                priority=priority,
                subject=life.maybe(0.5, "Hilfe — 助けて"),
                body=life.maybe(0.5, "line one\nline two\u2028\t\x7f"),
            )
            life.emit("support", day + draw.expovariate(1 / 3), "ticket_solved", ticket_id=ticket)
        elif kind == "csat":
            life.emit("support", day, "csat_submitted", score=draw.randint(1, 5), ticket_id=life.maybe(0.5, ticket))
        elif kind == "contact":
            playbook, channel = life.maybe(0.5, "save"), life.maybe(0.5, "email")
            life.emit("support", day, "success_contacted", playbook=playbook, channel=channel)
        else:
            at = life.moment(day)
            for _ in range(2 if kind == "nps pair" else 1):
                comment = life.maybe(0.5, "ok 👍")
                life.emit_at("support", at, "nps_submitted", score=draw.randint(0, 10), comment=comment)


def live_invoices(life: AccountLife) -> None:
    """An invoice a month, some of them failing several times first."""
    draw = life.random
    for day in range(int(life.opened), life.spec.days, 30):
        due, cents = day + draw.random(), draw.randint(0, 10**7)
        for attempt in range(draw.choice((0, 0, 0, 1, 3))):
            life.emit(
                *("billing", due + attempt, "invoice_payment_failed"),
                amount_cents=cents,
                attempt=life.maybe(0.5, attempt + 1),
            )
        life.emit("billing", due + 4, "invoice_paid", amount_cents=cents, attempt=life.maybe(0.3, 1))


def start(life: AccountLife, at: datetime) -> None:
    """Start a subscription, with or without a renewal date."""
    draw = life.random
    renewal = at + timedelta(days=draw.choice((5, 30, 365)), seconds=draw.randint(0, 10**5))
    life.emit_at(
        *("billing", at, "subscription_started"),
        plan=draw.choice(PLANS),
        mrr_cents=draw.choice((0, 4900, 99_00, 10**9, draw.randint(1, 10**6))),
        seats=draw.choice((0, 1, 5, 50)),
        renewal_at=life.maybe(0.6, format_time(renewal, draw)),
    )


def live_subscription(life: AccountLife) -> None:
    """Start, change up and down, cancel and come back: in any order, some of it at one instant."""
    draw = life.random
    day = life.opened
    if draw.random() < 0.7:
        start(life, life.moment(day))
    while (day := day + draw.expovariate(1 / 35)) < life.spec.days:
        at = life.moment(day)
        kind = draw.choice(("change", "change", "cancel", "cancel and start", "start"))
        if kind == "change":
            for _ in range(draw.choice((1, 1, 2))):
                renewal = format_time(at + timedelta(days=draw.randint(-5, 400)), draw)
                life.emit_at(
                    *("billing", at, "subscription_changed"),
                    plan=life.maybe(0.4, draw.choice(PLANS)),
                    mrr_cents=life.maybe(0.7, draw.randint(0, 20_000)),
                    seats=life.maybe(0.5, draw.choice((0, 3, 30))),
                    renewal_at=life.maybe(0.3, renewal),
                )
        if kind in {"cancel", "cancel and start"}:
            exact = life.spec.start + timedelta(days=int(day) + 1)
            at = exact if draw.random() < 0.3 else at
            life.emit_at("billing", at, "subscription_cancelled", reason=life.maybe(0.5, "price"))
        if kind in {"start", "cancel and start"}:
            start(life, at)
        if kind == "cancel" and draw.random() < 0.5:
            start(life, at + timedelta(days=draw.choice((0, 0.5, 3, 20))))


def live_silent(life: AccountLife) -> None:
    """One event, and never a word again."""
    life.emit("product", life.opened, "session_start", user_id=life.maybe(0.5, "only"))


KINDS: dict[str, tuple[Callable[[AccountLife], None], ...]] = {
    "whole": (live_product, live_support, live_invoices, live_subscription),
    "product only": (live_product,),
    "support only": (live_support,),
    "invoices only": (live_invoices,),
    "billing only": (live_subscription,),
    "no support": (live_product, live_subscription),
    "silent": (live_silent,),
}


def make_world(spec: WorldSpec) -> dict[str, list[Event]]:
    """Every event of a world by topic; the last of all is at midnight exactly, so that its tick is due.

    >>> spec = WorldSpec(seed=3, accounts=8, days=40)
    >>> make_world(spec) == make_world(spec)
    True
    """
    draw = random.Random(spec.seed)
    world: dict[str, list[Event]] = {"product": [], "billing": [], "support": []}
    rare = [kind for kind in KINDS if kind != "whole"]
    for number in range(spec.accounts):
        kind = rare[number // 2 % len(rare)] if number % 2 else "whole"
        opened = 0.0 if number % 3 == 0 else draw.uniform(0, 0.8 * spec.days)
        name = f"{draw.choice(NAMES)}-{number}"
        life = AccountLife(spec, random.Random(draw.getrandbits(64)), name, opened)
        for live in KINDS[kind]:
            live(life)
        for topic, events in life.events.items():
            world[topic] += events
    end = (spec.start + timedelta(days=spec.days)).isoformat()
    last: Event = {"event_id": "last", "account_id": world["product"][0]["account_id"], "occurred_at": end}
    world["product"].append(last | {"event_type": "page_viewed"})
    for topic in ("billing", "support"):  # ids repeat across topics, which makes no duplicate
        for event, other in zip(world[topic][::7], world["product"], strict=False):
            event["event_id"] = other["event_id"]
    return world


def write_world(spec: WorldSpec, out: Path, mess: Mess | None = None) -> WrittenLog:
    """Make a world and write it as a log directory."""
    return write_log(make_world(spec), out, mess or Mess(seed=spec.seed))


def main() -> None:
    """Write one world; beside the log, `clean.jsonl` and `rubbish.json` say what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--product-events-a-day", type=float, default=6.0, help="an account")
    asked = parser.parse_args()
    spec = WorldSpec(asked.seed, asked.accounts, asked.days, product_events_a_day=asked.product_events_a_day)
    log = write_world(spec, asked.out)
    events = {topic: len(found) for topic, found in log.events.items()}
    rubbish = sum(len(lines) for lines in log.rubbish.values())
    print(json.dumps({"events": events, "lines": log.lines, "rubbish": rubbish}))


if __name__ == "__main__":
    main()
