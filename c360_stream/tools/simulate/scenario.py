"""What to simulate: the specification, and the scenarios that bend the world."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from c360_stream.errors import ConfigurationError

OUTAGE_HOURS = 48
# What the input contract takes as an event time.
FIRST_DAY, END = date(1970, 1, 1), date(2100, 1, 1)


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
    """

    description: str
    fade_pull: float = 0.12
    price_increase: bool = False
    outage: bool = False
    december_dip: bool = False


SCENARIOS: dict[str, Scenario] = {
    "steady": Scenario("nothing special: the hazard's weights never change"),
    "price_increase": Scenario(
        "halfway, prices rise and other accounts leave than before: concept drift", price_increase=True
    ),
    "outage": Scenario("product events stop for 48 hours; nobody leaves for it", outage=True),
    "seasonal": Scenario("usage dips by 45% around the turn of the year", december_dip=True),
    "silent_decline": Scenario("accounts fade over months instead of breaking off", fade_pull=0.03),
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
        """What the calendar does to usage on a day: weekends 15%, and the December dip."""
        factor = 0.15 if day.weekday() >= 5 else 1.0
        holidays = (day.month == 12 and day.day >= 15) or (day.month == 1 and day.day <= 3)
        return factor * (0.55 if holidays and self.world.december_dip else 1.0)
