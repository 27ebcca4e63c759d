"""Contacts on their way through a shard: late, repeated, of nobody, at midnight, beside a cancellation."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from c360_stream.features.shard import AccountShard
from c360_stream.state.codec import pack, unpack
from tests.unit.features.deliveries import HORIZON_DAYS, Emitted, Event, Partition, shard_config
from tests.unit.features.events import FIRST_DAY, at, event

PLAN: dict[str, Any] = {"plan": "team", "mrr_cents": 9_900, "seats": 5}
# Of its examples: every other day, by the account's stable hash.
ACCOUNT = "acme"
EVEN = (zlib.crc32(ACCOUNT.encode()) + FIRST_DAY) % 2
AS_OF = 2 + EVEN


@dataclass
class Company:
    """A shard that listens to a partition of each topic."""

    emitted: Emitted = field(default_factory=Emitted)

    def __post_init__(self) -> None:
        self.shard = AccountShard(0, shard_config(["p", "b", "s"]))
        self.partitions = {
            "p": Partition("product", "p", 1),
            "b": Partition("billing", "b", 1),
            "s": Partition("support", "s", 1),
        }
        self.feed("b", event("start", ACCOUNT, at(0, 1), "subscription_started", **PLAN))

    def feed(self, name: str, *events: Event) -> None:
        for emission in self.shard.receive(self.partitions[name].say(events)):
            self.emitted.take(emission)

    def contact(self, day: float, event_id: str = "c", account: str = ACCOUNT, **fields: Any) -> None:
        self.feed("s", event(event_id, account, at(day), "success_contacted", **fields))

    def cancel(self, day: float, event_id: str = "x") -> None:
        self.feed("b", event(event_id, ACCOUNT, at(day), "subscription_cancelled"))

    def until(self, day: float) -> None:
        """Time passes through another account, in all partitions."""
        self.feed("p", event(f"p{day}", "clock", at(day, 1), "search_run"))
        self.feed("b", event(f"b{day}", "clock", at(day, 1), "invoice_paid", amount_cents=1))
        self.feed("s", event(f"s{day}", "clock", at(day, 1), "ticket_solved", ticket_id="t"))

    def restart(self) -> None:
        state = pack("accounts", self.shard.state())
        self.shard = AccountShard(0, self.shard.config)
        self.shard.restore(unpack("accounts", state))

    def treated(self, kind: str = "matured", account: str = ACCOUNT) -> list[int]:
        """As-ofs of the treated examples."""
        found = self.emitted.treated.items()
        return sorted(day - FIRST_DAY for (of, who, day), treated in found if (of, who) == (kind, account) and treated)

    def group(self, day: int, account: str = ACCOUNT) -> str | None:
        return self.emitted.groups[account, FIRST_DAY + day]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_contact_at_midnight_is_after_the_as_of_of_that_midnight(restarts: bool) -> None:
    company = Company()
    company.until(1)
    company.contact(AS_OF, playbook="check_in")
    company.until(AS_OF + 1)
    if restarts:
        company.restart()
    company.until(20)
    assert company.treated() == [
        day for day in range(AS_OF - HORIZON_DAYS + 1, AS_OF + 1) if day % 2 == EVEN and day > 0
    ]
    assert company.group(AS_OF) == "check_in"


def test_contact_and_cancellation_on_one_day() -> None:
    """The one that was contacted first is treated, and counts as contacted and lost; the other is neither."""
    for hour, treated in ((-1, True), (+1, False)):
        company = Company()
        company.until(1)
        company.contact(AS_OF + (12 + hour) / 24, playbook="check_in")
        company.cancel(AS_OF + 0.5)
        company.until(20)
        assert (AS_OF in company.treated()) is treated
        assert (AS_OF in company.treated("churned_before_horizon")) is treated
        assert company.emitted.labels[ACCOUNT, FIRST_DAY + AS_OF].churned
        assert (company.group(AS_OF) == "check_in") is treated


def test_a_contact_of_nobody_makes_an_account_and_its_examples() -> None:
    """As any first event does; the ticks before it stay as they were."""
    company = Company()
    company.until(1)
    company.contact(3.5, account="newcomer")
    company.until(20)
    days = [day - FIRST_DAY for account, day in company.emitted.rows if account == "newcomer"]
    assert min(days) == 4
    assert company.treated(account="newcomer") == [], "it had no example before"


def test_a_repeated_contact_counts_once_whatever_it_says_the_second_time() -> None:
    company = Company()
    company.until(1)
    company.contact(AS_OF + 0.25, playbook="b")
    company.contact(AS_OF + 0.25, playbook="a")
    company.until(20)
    assert company.group(AS_OF) == "b"
    assert company.shard.tally.duplicates == 1


def test_a_late_contact_counts_if_it_arrives_before_its_example_matures() -> None:
    company = Company()
    company.until(AS_OF + HORIZON_DAYS - 1)
    company.contact(AS_OF + 0.5, playbook="check_in")
    company.until(20)
    assert AS_OF in company.treated()
    too_late = Company()
    too_late.until(AS_OF + HORIZON_DAYS)
    too_late.contact(AS_OF + 0.5)
    too_late.until(20)
    assert AS_OF not in too_late.treated(), "what has matured is not emitted again"


def test_a_corrected_example_knows_that_the_contact_came_too_late() -> None:
    company = Company()
    company.until(1)
    company.contact(AS_OF + 2)
    company.until(AS_OF + HORIZON_DAYS + 1)
    assert AS_OF in company.treated()
    company.cancel(AS_OF + 1.5)
    company.until(20)
    assert company.emitted.treated["corrected", ACCOUNT, FIRST_DAY + AS_OF] is False
    other = Company()
    other.until(1)
    other.contact(AS_OF + 1)
    other.until(AS_OF + HORIZON_DAYS + 1)
    other.cancel(AS_OF + 1.5)
    other.until(20)
    assert other.emitted.treated["corrected", ACCOUNT, FIRST_DAY + AS_OF] is True


def test_nothing_of_a_stranger_grows_without_bound() -> None:
    """10,000 contacts a day of one account, each with a name of its own: one a day is kept."""
    company = Company()
    company.until(1)
    for day in (2, 3):
        names = (f"{day}-{number:05d}" for number in range(10_000))
        contacts = [event(f"c{name}", ACCOUNT, at(day), "success_contacted", playbook=name * 40) for name in names]
        company.feed("s", *contacts)
    company.until(5)
    pages = company.shard.accounts.contacts.state()["contacts"]["by_day"]
    assert [(each.event_id, len(each.playbook)) for page in pages for _, each in page] == [
        ("c2-00000", 128),
        ("c3-00000", 128),
    ]
