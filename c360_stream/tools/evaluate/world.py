"""A world that is evaluated, and all that a pass over its log leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from c360_stream.logs.refusals import Refusals
from c360_stream.tools.evaluate.contestant import Contestant
from c360_stream.tools.evaluate.matured import Examples, day_of
from c360_stream.tools.evaluate.maturity import LabelCounts
from c360_stream.tools.simulate import SimulationSpec


@dataclass(frozen=True)
class World:
    """Which log.

    Parameters
    ----------
    scenario, seed, accounts, days, events_per_account_day
        Of a simulated world; not looked at if there is a log directory.
    log_dir
        A log that exists.
    truth
        Its true risks, if there are any.
    change
        Day of a known change, if the scenario does not name one.
    """

    scenario: str = "steady"
    seed: int = 7
    accounts: int = 600
    days: int = 540
    events_per_account_day: float = 8.0
    log_dir: Path | None = None
    truth: Path | None = None
    change: date | None = None

    @property
    def title(self) -> str:
        """What it is called in progress and report."""
        return f"{self.scenario}, seed {self.seed}" if self.log_dir is None else str(self.log_dir)

    def spec(self, topic_prefix: str = "c360") -> SimulationSpec:
        """Of a simulated world."""
        return SimulationSpec(
            self.accounts,
            self.days,
            self.seed,
            scenario=self.scenario,
            events_per_account_day=self.events_per_account_day,
            topic_prefix=topic_prefix,
        )

    def shown(self) -> dict[str, Any]:
        """What the figures call it."""
        if self.log_dir is not None:
            return {"title": self.title, "scenario": "log", "log_dir": str(self.log_dir)}
        names = ("scenario", "seed", "accounts", "days", "events_per_account_day")
        return {"title": self.title, **{name: getattr(self, name) for name in names}}

    @property
    def change_day(self) -> int | None:
        """Day of the change, since the epoch."""
        spec = self.spec() if self.log_dir is None else None
        if spec is not None and spec.price_day is not None:
            return day_of(spec.start) + spec.price_day
        return None if self.change is None else day_of(self.change)


@dataclass
class Replayed:
    """All that a pass over a log left."""

    first_day: int
    last_day: int
    events: int
    refusals: Refusals
    examples: Examples
    labels: LabelCounts
    contestants: list[Contestant]
