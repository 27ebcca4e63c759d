"""Scoring one shard's accounts: at ticks with the version of that tick, in between with the newest."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import with_room
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import Trigger
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.shard import HeardLabels, MovedRows, TickRows
from c360_stream.labels.contacts import Group
from c360_stream.labels.ledger import CORRECTION_DAYS, KnownLabels
from c360_stream.models.classifier import logit
from c360_stream.models.version import ModelVersion, Scored
from c360_stream.monitoring.lead import Leads, leads
from c360_stream.monitoring.tick_stats import MONDAY
from c360_stream.monitoring.value_check import ValueCheck
from c360_stream.scoring.segments import NO_SEGMENT, segments
from c360_stream.scoring.tiers import HIGH, NO_TIER, Tiers
from c360_stream.scoring.value import ValueConfig, ValueLedger, lifetimes
from c360_stream.state.codec import IDS_PER_PAGE, Pages
from c360_stream.state.fields import Kept, deque_of, dict_of, fields, one_of, optional, paged_list, pages_of, stored_as

SINCE_PER_PAGE = 1024
_VERSION = stored_as(str, ModelVersion.to_json, ModelVersion.from_json)


@dataclass(frozen=True, slots=True)
class ScoringConfig:
    """What scoring needs to know of the settings."""

    horizon_days: int
    thresholds: tuple[float, float, float]
    hysteresis: float
    tier_min_days: int
    event_score_change_min: float
    risk_curve_days: tuple[int, ...] = ()
    value: ValueConfig = field(default_factory=ValueConfig)


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
    before
        Features that the last score was made of, shape (n, 21); NaN where there was none.
    moved
        What each feature's change since then adds to the log-odds, shape (n, 21); NaN where there was no last score.
    model_moved
        What the model has learnt since then adds: with `moved` the whole change of the log-odds.
    curve_days, curve
        Horizons, ascending, and the risk over each, shape (n, horizons).
    expected_months, lifetime_value_cents
        As `learning.value` explains; the value is NaN where MRR is unknown.
    segment
        int8, shape (n,): index into `SEGMENTS`.
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
    before: NDArray[np.float64]
    moved: NDArray[np.float64]
    model_moved: NDArray[np.float64]
    curve_days: tuple[int, ...]
    curve: NDArray[np.float64]
    expected_months: NDArray[np.float64]
    lifetime_value_cents: NDArray[np.float64]
    segment: NDArray[np.int8]
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
    """Everything that a shard's tick gives to the sinks and the monitor.

    Parameters
    ----------
    matured_mrr, matured_plan
        MRR at the as-of and newest plan of the matured examples.
    opened
        Number of examples taken at this tick.
    leads
        How far ahead those were flagged who cancelled.
    value
        How predicted values of half a year ago came out, on days when that is asked.
    kept_segment
        On Mondays: accounts whose segment is that of the Monday before, and accounts that had one then.
    """

    shard: int
    day: int
    scores: ScoredRows
    gone: list[str]
    outcomes: Outcomes
    matured: Outcomes
    matured_mrr: NDArray[np.float64]
    matured_group: list[Group]
    matured_plan: list[str]
    opened: int
    leads: Leads
    value: ValueCheck | None
    kept_segment: tuple[int, int]


@dataclass(slots=True)
class HeardOutcomes:
    """Outcomes that are known at the end of the input."""

    shard: int
    time_us: int
    outcomes: Outcomes


class _Made(NamedTuple):
    """What scores are made of: accounts, as-of times and features."""

    account: NDArray[np.int32]
    as_of_us: NDArray[np.int64]
    features: NDArray[np.float64]


class ShardScorer(Kept):
    """Holds what each account of a shard was last scored, and every score whose label may yet be known.

    Ticks form a chain of their own: previous tier and risk of a tick's score are those of the tick before,
    whatever was emitted in between, because scores between ticks depend on how events happened to arrive. How long a
    tier is kept follows from the stored risks of the ticks, so nothing else has to be remembered for it.

    Memory: (horizon + 9) x 8 + 339 bytes an account.

    Parameters
    ----------
    config
        Settings.
    """

    kept = fields(
        _ids=paged_list(str, IDS_PER_PAGE),
        _stored=NDArray[np.float64],
        _risk=NDArray[np.float64],
        _tier=NDArray[np.int8],
        _features=NDArray[np.float64],
        _as_of_us=NDArray[np.int64],
        _since_pages=pages_of(tuple[list[int], list[int], NDArray[np.float64]]),
        _segment=NDArray[np.int8],
        _value=ValueLedger,
        _waiting=deque_of(one_of(tick=TickRows, event=MovedRows, labels=HeardLabels)),
        _versions=dict_of(int, _VERSION),
        _newest=optional(_VERSION),
    )

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self.tiers = Tiers(config.thresholds, config.hysteresis, config.tier_min_days)
        self._ids: list[str] = []
        self._slots = config.horizon_days + CORRECTION_DAYS + 1
        self._stored = np.full((self._slots, 64), np.nan)
        # Rows: at the last tick, and in the last emitted score whatever its trigger.
        self._risk = np.full((2, 64), np.nan)
        self._tier = np.full((2, 64), NO_TIER, np.int8)
        # What the last tick's score was made of; and that of scores since then, by account.
        self._features = np.full((64, len(FEATURES)), np.nan)
        self._as_of_us = np.zeros(64, np.int64)
        self._since: dict[int, tuple[int, NDArray[np.float64]]] = {}
        self._segment = np.full(64, NO_SEGMENT, np.int8)
        self._value = ValueLedger(config.value)
        self._waiting: deque[TickRows | MovedRows | HeardLabels] = deque()
        self._versions: dict[int, ModelVersion] = {}
        self._newest: ModelVersion | None = None

    def rows(self, rows: TickRows | MovedRows) -> list[ScoredTick | ScoredRows | HeardOutcomes]:
        """Take a shard's feature rows; give the scores that are ready."""
        self.hold_rows(rows)
        return list(self.ready())

    def version(self, day: int, version: ModelVersion) -> list[ScoredTick | ScoredRows | HeardOutcomes]:
        """Take the version of a tick; give the scores that are ready."""
        self.hold_version(day, version)
        return list(self.ready())

    def hold_rows(self, rows: TickRows | MovedRows) -> None:
        """Take a shard's feature rows; they wait."""
        self._ids.extend(rows.new_ids)
        self._reserve(len(self._ids))
        self._waiting.append(rows)

    def hold_labels(self, labels: HeardLabels) -> None:
        """Take labels that no tick will tell; they wait for the scores before them."""
        self._waiting.append(labels)

    def hold_version(self, day: int, version: ModelVersion) -> None:
        """Take the version of a tick, which waits."""
        self._versions[day] = version

    @property
    def waiting(self) -> int:
        """Number of messages with feature rows that wait."""
        return len(self._waiting)

    @property
    def tick_is_ready(self) -> bool:
        """Whether what `ready` gives next is a whole tick."""
        head = self._waiting[0] if self._waiting else None
        return isinstance(head, TickRows) and head.day in self._versions

    def _reserve(self, accounts: int) -> None:
        self._stored = with_room(self._stored, accounts, np.nan, axis=1)
        self._risk = with_room(self._risk, accounts, np.nan, axis=1)
        self._tier = with_room(self._tier, accounts, NO_TIER, axis=1)
        self._features = with_room(self._features, accounts, np.nan)
        self._as_of_us = with_room(self._as_of_us, accounts, 0)
        self._segment = with_room(self._segment, accounts, NO_SEGMENT)
        self._value.reserve(accounts)

    def ready(self) -> Iterator[ScoredTick | ScoredRows | HeardOutcomes]:
        """Score what waits, in order, up to the first tick whose version is not there yet.

        What is not asked for goes on waiting, and a snapshot holds it.
        """
        while self._waiting:
            head = self._waiting[0]
            if isinstance(head, TickRows):
                if head.day not in self._versions:
                    break
                self._newest = self._versions.pop(head.day)
                self._waiting.popleft()
                yield self._tick(head, self._newest)
                continue
            self._waiting.popleft()
            if isinstance(head, HeardLabels):
                yield HeardOutcomes(head.shard, head.time_us, self._outcomes(head.known))
            elif self._newest is not None and (moved := self._moved(head, self._newest)) is not None:
                yield moved

    def _tick(self, rows: TickRows, version: ModelVersion) -> ScoredTick:
        outcomes = self._outcomes(rows.known)
        as_of_day = np.full(len(rows.example), rows.example_as_of, np.int64)
        matured = self._outcomes(KnownLabels(rows.example, as_of_day, rows.example_churned))
        found = self._leads(rows)
        self._forget(rows.gone)
        account, as_of = rows.account, np.full(len(rows.account), rows.day * US_PER_DAY, np.int64)
        scored = version.score(rows.features, as_of)
        tier = self.tiers.at_tick(self._recent(rows.day, account, scored.risk), self._tier[0, account])
        scores = self._scored("tick", _Made(account, as_of, rows.features), version, scored, tier)
        stored = self._stored[rows.day % self._slots]
        stored[:] = np.nan
        stored[account] = scores.risk
        self._risk[:, account], self._tier[:, account] = scores.risk, scores.tier
        self._features[account], self._as_of_us[account] = rows.features, as_of
        self._since.clear()
        gone = sorted(self._ids[i] for i in rows.gone.tolist())
        return ScoredTick(
            rows.shard,
            rows.day,
            scores,
            gone,
            outcomes,
            matured,
            rows.example_mrr,
            rows.example_group,
            rows.example_plan,
            rows.opened,
            found,
            self._check_value(rows, scores),
            self._keep_segments(rows, scores),
        )

    def _recent(self, day: int, account: NDArray[np.int32], risk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Risks of a tick's accounts at that tick and, newest first, those before that a tier depends on."""
        before = (day - np.arange(1, self.tiers.ticks)) % self._slots
        return np.vstack([risk, self._stored[before[:, None], account]])

    def _forget(self, gone: NDArray[np.int32]) -> None:
        self._risk[:, gone], self._tier[:, gone] = np.nan, NO_TIER
        self._features[gone], self._segment[gone] = np.nan, NO_SEGMENT

    def _leads(self, rows: TickRows) -> Leads:
        """Leads of those who are gone; and of the as-of whose labels are all known now, flags for nothing."""
        days = rows.day - 1 - np.arange(self.config.horizon_days + 1)
        past = self._stored[days[:, None] % self._slots, rows.gone]
        due = rows.day - self.config.horizon_days
        here, before = (self._stored[day % self._slots] for day in (due, due - 1))
        stayed = rows.known.account[(rows.known.as_of_day == due) & ~rows.known.churned]
        high = self.config.thresholds[HIGH - 1]
        false_flags = np.count_nonzero((here[stayed] >= high) & (before[stayed] < high))
        mrr = np.nan_to_num(self._features[rows.gone, INDEX["mrr_cents"]])
        scored = int(np.count_nonzero(~np.isnan(here)))
        return Leads(leads(past, high), mrr, int(false_flags), scored)

    def _check_value(self, rows: TickRows, scores: ScoredRows) -> ValueCheck | None:
        curve = scores.version.curve
        if curve is None:
            return None
        worth = lifetimes(curve, self.config.value).worth(_log_odds(scores.risk), check=True)
        return self._value.tick(rows.day, rows.account, rows.features[:, INDEX["mrr_cents"]], worth)

    def _keep_segments(self, rows: TickRows, scores: ScoredRows) -> tuple[int, int]:
        if rows.day % 7 != MONDAY:
            return 0, 0
        before = self._segment[rows.account]
        known = before != NO_SEGMENT
        self._segment[rows.account] = scores.segment
        return int(np.count_nonzero(known & (before == scores.segment))), int(np.count_nonzero(known))

    def _moved(self, rows: MovedRows, version: ModelVersion) -> ScoredRows | None:
        scored = version.score(rows.features, rows.as_of_us)
        risk = scored.risk
        last, tier = self._risk[1, rows.account], self._tier[1, rows.account]
        change = np.abs(risk - last)  # NaN, so never material, before the first tick
        raised = self.tiers.between(risk, tier)
        material = (change >= self.config.event_score_change_min) | ((raised != tier) & (tier != NO_TIER))
        chosen = np.flatnonzero(material)
        if not len(chosen):
            return None
        account, as_of_us, features = rows.account[chosen], rows.as_of_us[chosen], rows.features[chosen]
        # A row's bits do not depend on its company: what judged it is what it is scored.
        chosen_scored = Scored(risk[chosen], scored.contributions[chosen], scored.base_log_odds)
        scores = self._scored("event", _Made(account, as_of_us, features), version, chosen_scored, raised[chosen])
        self._risk[1, account], self._tier[1, account] = scores.risk, scores.tier
        made_of = zip(as_of_us.tolist(), features, strict=True)
        self._since.update(zip(account.tolist(), made_of, strict=True))
        return scores

    def _scored(
        self, trigger: Trigger, made_of: _Made, version: ModelVersion, scored: Scored, tier: NDArray[np.int8]
    ) -> ScoredRows:
        account, as_of_us, features = made_of
        chain = 0 if trigger == "tick" else 1
        previous_risk, previous = self._risk[chain, account], self._tier[chain, account]
        before, before_us = self._made_of(chain, account)
        log_odds = _log_odds(scored.risk)
        moved, model_moved = _moved(scored, version.score(before, before_us), log_odds, previous_risk)
        days, curve, months, value = self._prospect(version, scored.risk, log_odds, features[:, INDEX["mrr_cents"]])
        return ScoredRows(
            trigger,
            [self._ids[i] for i in account.tolist()],
            as_of_us,
            features,
            scored.risk,
            previous_risk,
            tier,
            previous,
            scored.contributions,
            before,
            moved,
            model_moved,
            days,
            curve,
            months,
            value,
            segments(features, tier),
            version,
        )

    def _made_of(self, chain: int, account: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Features and as-of times of the last scores of a chain."""
        features, as_of_us = self._features[account], self._as_of_us[account]
        if chain and self._since:
            for row, number in enumerate(account.tolist()):
                if number in self._since:
                    as_of_us[row], features[row] = self._since[number]
        return features, as_of_us

    def _prospect(
        self,
        version: ModelVersion,
        risk: NDArray[np.float64],
        log_odds: NDArray[np.float64],
        mrr_cents: NDArray[np.float64],
    ) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Horizons, the risk over each, expected months and lifetime value."""
        if version.curve is None:
            unknown = np.full(len(risk), np.nan)
            return (), np.zeros((len(risk), 0)), unknown, unknown
        shown = [i for i, days in enumerate(version.curve.days) if days in self.config.risk_curve_days]
        stays = lifetimes(version.curve, self.config.value)
        value = stays.worth(log_odds) * mrr_cents * self.config.value.margin_share
        days = tuple(version.curve.days[i] for i in shown)
        return days, version.curve.risks(risk)[:, shown], stays.expected_months(log_odds), value

    def _outcomes(self, known: KnownLabels) -> Outcomes:
        return Outcomes(
            [self._ids[i] for i in known.account.tolist()],
            known.as_of_day,
            known.churned,
            self._stored[known.as_of_day % self._slots, known.account],
        )

    @property
    def _since_pages(self) -> Pages:
        """Accounts, times and features of scores since the tick, in the order in which accounts were first scored."""
        return Pages(self._scored_since)

    @_since_pages.setter
    def _since_pages(self, pages: list[tuple[list[int], list[int], NDArray[np.float64]]]) -> None:
        for accounts, as_of_us, features in pages:
            self._since.update(zip(accounts, zip(as_of_us, features, strict=True), strict=True))

    def _scored_since(self) -> Iterator[list[Any]]:
        made_of = iter(self._since.items())
        while page := list(islice(made_of, SINCE_PER_PAGE)):
            yield [
                [account for account, _ in page],
                [as_of_us for _, (as_of_us, _) in page],
                np.stack([features for _, (_, features) in page]),
            ]


def _log_odds(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not numpy's logarithm, whose last bit depends on the place in the array.
    return np.array([logit(p) for p in risk.tolist()], np.float64)


def _moved(
    now: Scored, then: Scored, log_odds: NDArray[np.float64], previous_risk: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each feature's change adds to the log-odds under today's version, and what the version's change adds."""
    moved = now.contributions - then.contributions
    moved[np.isnan(previous_risk)] = np.nan
    rest = log_odds - np.array([p if math.isnan(p) else logit(p) for p in previous_risk.tolist()])
    for column in moved.T:  # in the order of the features: the same bits for any number of rows
        rest -= column
    return moved, rest
