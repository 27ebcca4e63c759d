"""Scoring one shard's accounts: at ticks with the version of that tick, in between with the newest."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.events import US_PER_DAY
from c360_stream.features.contacts import Group
from c360_stream.features.shard import MovedRows, TickRows
from c360_stream.labels import CORRECTION_DAYS, KnownLabels
from c360_stream.learning.tiers import NO_TIER, Tiers
from c360_stream.learning.version import ModelVersion
from c360_stream.records import Trigger


@dataclass(frozen=True, slots=True)
class ScoringConfig:
    """What scoring needs to know of the settings."""

    horizon_days: int
    thresholds: tuple[float, float, float]
    hysteresis: float
    event_score_change_min: float


@dataclass(slots=True)
class ScoredRows:
    """Scores of n accounts of a shard, with what they were computed from.

    Parameters
    ----------
    trigger
        `tick` or `event`.
    ids
        Account ids, n of them.
    as_of_us
        int64, shape (n,).
    features, contributions
        float64, shape (n, 21).
    risk, previous_risk
        float64, shape (n,); the previous is NaN where there was none.
    tier, previous_tier
        int8, shape (n,): index into `TIERS`, or `NO_TIER`.
    """

    trigger: Trigger
    ids: list[str]
    as_of_us: NDArray[np.int64]
    features: NDArray[np.float64]
    risk: NDArray[np.float64]
    previous_risk: NDArray[np.float64]
    tier: NDArray[np.int8]
    previous_tier: NDArray[np.int8]
    contributions: NDArray[np.float64]
    version: ModelVersion


@dataclass(slots=True)
class Outcomes:
    """Labels that have become known, with the risk that was stored at their as-of."""

    ids: list[str]
    as_of_day: NDArray[np.int64]
    churned: NDArray[np.bool_]
    risk: NDArray[np.float64]


@dataclass(slots=True)
class ScoredTick:
    """Everything that a shard's tick gives to the sinks and the monitor."""

    shard: int
    day: int
    scores: ScoredRows
    gone: list[str]
    outcomes: Outcomes
    matured: Outcomes
    matured_mrr: NDArray[np.float64]
    matured_group: list[Group]


class ShardScorer:
    """Holds what each account of a shard was last scored, and every score whose label may yet be known.

    Ticks form a chain of their own: previous tier and risk of a tick's score are those of the tick before,
    whatever was emitted in between, because scores between ticks depend on how events happened to arrive.

    Memory: (horizon + 9) x 8 + 34 bytes an account.

    Parameters
    ----------
    config
        Settings.
    """

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self.tiers = Tiers(config.thresholds, config.hysteresis)
        self._ids: list[str] = []
        self._slots = config.horizon_days + CORRECTION_DAYS + 1
        self._stored = np.full((self._slots, 64), np.nan)
        # Rows: at the last tick, and in the last emitted score whatever its trigger.
        self._risk = np.full((2, 64), np.nan)
        self._tier = np.full((2, 64), NO_TIER, np.int8)
        self._waiting: deque[TickRows | MovedRows] = deque()
        self._versions: dict[int, ModelVersion] = {}
        self._newest: ModelVersion | None = None

    def rows(self, rows: TickRows | MovedRows) -> list[ScoredTick | ScoredRows]:
        """Take a shard's feature rows; give the scores that are ready."""
        self._ids.extend(rows.new_ids)
        self._reserve(len(self._ids))
        self._waiting.append(rows)
        return self._ready()

    def version(self, day: int, version: ModelVersion) -> list[ScoredTick | ScoredRows]:
        """Take the version of a tick; give the scores that are ready."""
        self._versions[day] = version
        return self._ready()

    def _reserve(self, accounts: int) -> None:
        capacity = self._risk.shape[1]
        if accounts <= capacity:
            return
        more = max(accounts, 2 * capacity) - capacity
        self._stored = np.pad(self._stored, ((0, 0), (0, more)), constant_values=np.nan)
        self._risk = np.pad(self._risk, ((0, 0), (0, more)), constant_values=np.nan)
        self._tier = np.pad(self._tier, ((0, 0), (0, more)), constant_values=NO_TIER)

    def _ready(self) -> list[ScoredTick | ScoredRows]:
        """Score what waits, in order, up to the first tick whose version is not there yet."""
        out: list[ScoredTick | ScoredRows] = []
        while self._waiting:
            head = self._waiting[0]
            if isinstance(head, TickRows):
                if head.day not in self._versions:
                    break
                self._newest = self._versions.pop(head.day)
                out.append(self._tick(head, self._newest))
            elif self._newest is not None:
                moved = self._moved(head, self._newest)
                if moved is not None:
                    out.append(moved)
            self._waiting.popleft()
        return out

    def _tick(self, rows: TickRows, version: ModelVersion) -> ScoredTick:
        outcomes = self._outcomes(rows.known)
        as_of_day = np.full(len(rows.example), rows.example_as_of, np.int64)
        matured = self._outcomes(KnownLabels(rows.example, as_of_day, rows.example_churned))
        self._risk[:, rows.gone], self._tier[:, rows.gone] = np.nan, NO_TIER
        as_of = np.full(len(rows.account), rows.day * US_PER_DAY, np.int64)
        scores = self._scored("tick", rows.account, as_of, rows.features, version)
        stored = self._stored[rows.day % self._slots]
        stored[:] = np.nan
        stored[rows.account] = scores.risk
        self._risk[:, rows.account], self._tier[:, rows.account] = scores.risk, scores.tier
        gone = sorted(self._ids[i] for i in rows.gone.tolist())
        return ScoredTick(rows.shard, rows.day, scores, gone, outcomes, matured, rows.example_mrr, rows.example_group)

    def _moved(self, rows: MovedRows, version: ModelVersion) -> ScoredRows | None:
        scores = self._scored("event", rows.account, rows.as_of_us, rows.features, version)
        change = np.abs(scores.risk - scores.previous_risk)  # NaN, so never material, before the first tick
        material = (change >= self.config.event_score_change_min) | (
            (scores.tier != scores.previous_tier) & (scores.previous_tier != NO_TIER)
        )
        chosen = np.flatnonzero(material)
        if not len(chosen):
            return None
        account = rows.account[chosen]
        self._risk[1, account], self._tier[1, account] = scores.risk[chosen], scores.tier[chosen]
        return ScoredRows(
            "event",
            [scores.ids[i] for i in chosen.tolist()],
            scores.as_of_us[chosen],
            scores.features[chosen],
            scores.risk[chosen],
            scores.previous_risk[chosen],
            scores.tier[chosen],
            scores.previous_tier[chosen],
            scores.contributions[chosen],
            version,
        )

    def _scored(
        self,
        trigger: Trigger,
        account: NDArray[np.int32],
        as_of_us: NDArray[np.int64],
        features: NDArray[np.float64],
        version: ModelVersion,
    ) -> ScoredRows:
        chain = 0 if trigger == "tick" else 1
        scored = version.score(features, as_of_us)
        previous = self._tier[chain, account]
        return ScoredRows(
            trigger,
            [self._ids[i] for i in account.tolist()],
            as_of_us,
            features,
            scored.risk,
            self._risk[chain, account],
            self.tiers.assign(scored.risk, previous),
            previous,
            scored.contributions,
            version,
        )

    def _outcomes(self, known: KnownLabels) -> Outcomes:
        return Outcomes(
            [self._ids[i] for i in known.account.tolist()],
            known.as_of_day,
            known.churned,
            self._stored[known.as_of_day % self._slots, known.account],
        )

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`."""
        n = len(self._ids)
        return {
            "ids": self._ids,
            "stored": self._stored[:, :n],
            "risk": self._risk[:, :n],
            "tier": self._tier[:, :n],
            "waiting": [_plain(rows) for rows in self._waiting],
            "versions": [[day, version.to_json()] for day, version in self._versions.items()],
            "newest": self._newest and self._newest.to_json(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self._ids = list(state["ids"])
        self._stored, self._risk, self._tier = (state[name].copy() for name in ("stored", "risk", "tier"))
        self._waiting = deque(_rows(values) for values in state["waiting"])
        self._versions = {day: ModelVersion.from_json(text) for day, text in state["versions"]}
        self._newest = ModelVersion.from_json(state["newest"]) if state["newest"] else None


def _plain(rows: TickRows | MovedRows) -> list[Any]:
    values = [getattr(rows, name) for name in rows.__slots__]
    if isinstance(rows, TickRows):
        return ["tick", *(_known_plain(value) if isinstance(value, KnownLabels) else value for value in values)]
    return ["event", *values]


def _known_plain(known: KnownLabels) -> list[Any]:
    return [known.account, known.as_of_day, known.churned]


def _rows(values: list[Any]) -> TickRows | MovedRows:
    kind, *fields = values
    if kind == "event":
        return MovedRows(*fields)
    known = TickRows.__slots__.index("known")
    fields[known] = KnownLabels(*fields[known])
    return TickRows(*fields)
