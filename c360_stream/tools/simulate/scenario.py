"""What to simulate: the specification, and the scenarios that bend the world."""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from c360_stream.errors import ConfigurationError
from c360_stream.tools.simulate.weights import Playbook, Weights

OUTAGE_HOURS = 48
# What the input contract takes as an event time.
FIRST_DAY, END = date(1970, 1, 1), date(2100, 1, 1)
LARGE_SEATS = 12
STEADY = Weights()


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a world differs from the steady one.

    Parameters
    ----------
    description
        One line for `--help`.
    fade_pull
        Share of the remaining way that a fading account's engagement falls a day: 0.12 breaks off within two
        or three weeks, 0.03 takes months.
    price_increase
        Prices rise halfway: small accounts that pay for idle seats then cancel more, and using many features keeps
        nobody any more.
    outage
        All product events are lost for 48 hours at about 70% of the period. Nobody cancels for it.
    december_dip
        Usage is 45% lower from 15 December to 3 January. Nobody cancels for it.
    month_end_peak
        Usage is that share above its level as a month turns, and below it in the middle. Nobody cancels for it.
    weights, weights_large
        Of the hazard; and those of accounts with at least `LARGE_SEATS` seats at signing, if they differ.
    founding_share
        Accounts that subscribe within the first 30 days; the others come evenly over the rest of the period.
    ticket_spread
        Deviation of the log of the accounts' habit of asking questions; 0: all alike.
    shrinking
        How many times as often as in the steady world small and large accounts give up seats.
    terms
        Contracts of 3, 12 and 24 months beside monthly ones, named in the events, instead of monthly and yearly ones.
    playbooks
        Customer success calls at random, with these effects, instead of where it looks bad and without any.
    true_reasons
        A reason that an account gives for leaving is mostly the greatest part of its hazard, instead of any.
    """

    description: str
    fade_pull: float = 0.12
    price_increase: bool = False
    outage: bool = False
    december_dip: bool = False
    month_end_peak: float = 0.0
    weights: Weights = STEADY
    weights_large: Weights | None = None
    founding_share: float = 0.65
    ticket_spread: float = 0.0
    shrinking: tuple[float, float] = (1.0, 1.0)
    terms: bool = False
    playbooks: tuple[Playbook, ...] = ()
    true_reasons: bool = False


SCENARIOS: dict[str, Scenario] = {
    "steady": Scenario("nothing special: the hazard's weights never change"),
    "price_increase": Scenario(
        "halfway, prices rise and other accounts leave than before: concept drift", price_increase=True
    ),
    "outage": Scenario("product events stop for 48 hours; nobody leaves for it", outage=True),
    "seasonal": Scenario("usage dips by 45% around the turn of the year", december_dip=True),
    "silent_decline": Scenario("accounts fade over months instead of breaking off", fade_pull=0.03),
    "monthly_rhythm": Scenario(
        "usage peaks as months turn and dips in their middle; nobody leaves for it", month_end_peak=0.4
    ),
    "segments_differ": Scenario(
        "what makes small accounts leave keeps large ones, and the other way round",
        weights_large=Weights(base=-6.6, engagement=-1.2, adoption=5.0, fill=2.5, incident=-0.6),
        true_reasons=True,
    ),
    "thresholds": Scenario(
        "very little and very much of usage, tickets or filled seats is bad, and so are certain ages",
        weights=Weights(
            base=-7.9,
            engagement=1.5,
            intense=6.0,
            adoption=-3.0,
            fill=0.0,
            misfill=6.0,
            calls=1.0,
            bump=1.6,
            bump_days=(90, 180, 270),
            old=1.0,
        ),
        ticket_spread=1.2,
        true_reasons=True,
    ),
    "low_rate": Scenario(
        "about 1% of the accounts cancel within 60 days", weights=Weights(base=-12.6), true_reasons=True
    ),
    "high_rate": Scenario(
        "about 40% of the accounts cancel within 60 days",
        weights=Weights(base=-3.7, adoption=0.0, ceiling=-6.0, young=0.4),
        founding_share=0.25,
        true_reasons=True,
    ),
    "early_hazard": Scenario(
        "accounts cancel three times as often in their first 90 days as later",
        weights=Weights(base=-8.0, engagement=1.5, adoption=0.0, ceiling=-6.0, young=0.0, early=1.7),
        true_reasons=True,
    ),
    "large_stay": Scenario(
        "large accounts leave less often and shrink more: a year costs 18% of the accounts and 25% of the revenue",
        weights=Weights(base=-11.2, size=-0.4),
        shrinking=(0.44, 0.88),
        true_reasons=True,
    ),
    "outreach": Scenario(
        "customer success calls at random: training helps a lot, check_in a little",
        playbooks=(Playbook("training", -1.2), Playbook("check_in", -0.2)),
        true_reasons=True,
    ),
    "contracts": Scenario(
        "contracts of 1, 3, 12 and 24 months are left when they end, and plans differ",
        weights=Weights(base=-7.9, plans=(0.3, 0.9, -0.5, -1.2), in_term=-2.0, renewal=4.5),
        terms=True,
        true_reasons=True,
    ),
}


@dataclass(frozen=True, slots=True)
class SimulationSpec:
    """One world, to the byte: equal specifications give equal logs and equal truth.

    Parameters
    ----------
    accounts
        Accounts that ever subscribe.
    days
        Simulated UTC days; events fall in `[start, start + days)`.
    seed
        Root of every random stream, 0 or greater.
    start
        First day.
    scenario
        A name in `SCENARIOS`.
    partitions
        Partitions of each topic.
    events_per_account_day
        About how many product events an active account sends a day, on average over accounts and weekdays.
    topic_prefix
        First part of the topics' names.

    Raises
    ------
    ConfigurationError
        If a value is out of range or the scenario is unknown.
    """

    accounts: int
    days: int
    seed: int
    start: date = date(2024, 1, 1)
    scenario: str = "steady"
    partitions: int = 4
    events_per_account_day: float = 16.0
    topic_prefix: str = "c360"

    def __post_init__(self) -> None:
        bounds = (
            ("accounts", 1, 10_000_000),
            ("days", 1, 36_525),
            ("seed", 0, 2**63),
            ("partitions", 1, 1024),
            ("events_per_account_day", 6, 1000),
        )
        for name, low, high in bounds:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"simulation: {name} is {value}", f"choose a value from {low} to {high}")
        if self.scenario not in SCENARIOS:
            raise ConfigurationError(
                f"simulation: no scenario {self.scenario!r}", f"choose one of {', '.join(SCENARIOS)}"
            )
        if not FIRST_DAY <= self.start <= self.start + timedelta(days=self.days) <= END:
            raise ConfigurationError(
                f"simulation: {self.days} days from {self.start}", f"stay between {FIRST_DAY} and {END}"
            )

    @property
    def world(self) -> Scenario:
        """The scenario itself."""
        return SCENARIOS[self.scenario]

    @property
    def price_day(self) -> int | None:
        """Day, counted from 0, on which prices rise; None if they never do."""
        return self.days // 2 if self.world.price_increase else None

    @property
    def outage_window(self) -> tuple[datetime, datetime] | None:
        """When product events are lost, `[from, to)`; None if never.

        It starts on the first Tuesday from 70% of the period on, at 10:00, so that it is plainly not a weekend.
        """
        if not self.world.outage:
            return None
        day = self.start + timedelta(days=int(self.days * 0.7))
        day += timedelta(days=(1 - day.weekday()) % 7)
        begin = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
        return begin, begin + timedelta(hours=OUTAGE_HOURS)

    def usage_factor(self, day: date) -> float:
        """What the calendar does to usage on a day: weekends 15%, the December dip, and the rhythm of a month."""
        factor = 0.15 if day.weekday() >= 5 else 1.0
        holidays = (day.month == 12 and day.day >= 15) or (day.month == 1 and day.day <= 3)
        factor *= 0.55 if holidays and self.world.december_dip else 1.0
        passed = (day.day - 0.5) / calendar.monthrange(day.year, day.month)[1]
        return factor * (1.0 + self.world.month_end_peak * math.cos(2.0 * math.pi * passed))
