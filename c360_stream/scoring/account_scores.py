"""What each account of a shard was last scored, and its next score: with its tier, what moved it and its value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import Trigger
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.emissions import IntradayRows, TickRows
from c360_stream.models.classifier import logits
from c360_stream.models.columns import Floats
from c360_stream.models.version import ModelVersion, Scored
from c360_stream.scoring.scored import ScoredRows
from c360_stream.scoring.segments import segments
from c360_stream.scoring.stored_risks import StoredRisks
from c360_stream.scoring.tiers import NO_TIER, Tiers
from c360_stream.scoring.value import ValueConfig, lifetimes
from c360_stream.state.codec import Pages
from c360_stream.state.fields import Kept, fields, pages_of

SINCE_PER_PAGE = 1024
_SincePage = tuple[list[int], list[int], NDArray[np.float64]]
"""Accounts, as-of times and features of scores since the tick."""


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


class _ScoredFrom(NamedTuple):
    """What scores are made of: accounts, their ids, as-of times and features."""

    account: NDArray[np.int32]
    ids: list[str]
    as_of_us: NDArray[np.int64]
    features: NDArray[np.float64]


class AccountScores(Kept):
    """The last scores of a shard's accounts, and what they were made of.

    Ticks form a chain of their own: previous tier and risk of a tick's score are those of the tick before, whatever was
    emitted in between. Scores between ticks depend on how events happened to arrive.

    Memory: 300 bytes per account.

    Parameters
    ----------
    config
        Settings.
    """

    kept = fields(
        _risk=NDArray[np.float64],
        _tier=NDArray[np.int8],
        _features=NDArray[np.float64],
        _as_of_us=NDArray[np.int64],
        _since_pages=pages_of(_SincePage),
    )

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self.tiers = Tiers(config.thresholds, config.hysteresis, config.tier_min_days)
        # Rows: at the last tick, and in the last emitted score whatever its trigger.
        self._risk = np.full((2, 64), np.nan)
        self._tier = np.full((2, 64), NO_TIER, np.int8)
        # What the last tick's score was made of; and that of scores since then, by account.
        self._features = np.full((64, len(FEATURES)), np.nan)
        self._as_of_us = np.zeros(64, np.int64)
        self._since: dict[int, tuple[int, NDArray[np.float64]]] = {}

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self._risk = grow_array(self._risk, accounts, np.nan, axis=1)
        self._tier = grow_array(self._tier, accounts, NO_TIER, axis=1)
        self._features = grow_array(self._features, accounts, np.nan)
        self._as_of_us = grow_array(self._as_of_us, accounts, 0)

    def mrr_cents(self, account: NDArray[np.int32]) -> Floats:
        """MRR of n accounts at the last tick, shape (n,); NaN for unknown."""
        return np.asarray(self._features[account, INDEX["mrr_cents"]])

    def forget(self, gone: NDArray[np.int32]) -> None:
        """Drop the last scores of accounts that have cancelled, shape (m,)."""
        self._risk[:, gone], self._tier[:, gone] = np.nan, NO_TIER
        self._features[gone] = np.nan

    def at_tick(self, rows: TickRows, ids: list[str], version: ModelVersion, risks: StoredRisks) -> ScoredRows:
        """Score a tick's rows.

        Parameters
        ----------
        rows
            Features.
        ids
            Of all accounts of the shard.
        version
            The tick's.
        risks
            Of the ticks before, which a tier depends on.
        """
        account, features = rows.account, rows.features
        as_of_us = np.full(len(account), rows.day * US_PER_DAY, np.int64)
        scored = version.score(features, as_of_us)
        recent = np.vstack([scored.risk, risks.before(rows.day, account, self.tiers.ticks - 1)])
        tier = self.tiers.at_tick(recent, self._tier[0, account])
        scored_from = _ScoredFrom(account, [ids[i] for i in account.tolist()], as_of_us, features)
        scores = self._scored("tick", scored_from, version, scored, tier)
        self._risk[:, account], self._tier[:, account] = scores.risk, scores.tier
        self._features[account], self._as_of_us[account] = features, as_of_us
        self._since.clear()
        return scores

    def between_ticks(self, rows: IntradayRows, ids: list[str], version: ModelVersion) -> ScoredRows | None:
        """Score accounts that events moved, if any has changed materially; arguments as for `at_tick`."""
        risk = version.risks(rows.features, rows.as_of_us)
        last, tier = self._risk[1, rows.account], self._tier[1, rows.account]
        change = np.abs(risk - last)  # NaN, so never material, before the first tick
        raised = self.tiers.between(risk, tier)
        material = (change >= self.config.event_score_change_min) | ((raised != tier) & (tier != NO_TIER))
        chosen = np.flatnonzero(material)
        if not len(chosen):
            return None
        account, as_of_us, features = rows.account[chosen], rows.as_of_us[chosen], rows.features[chosen]
        scored_from = _ScoredFrom(account, [ids[i] for i in account.tolist()], as_of_us, features)
        # A row's bits do not depend on the other rows, so these risks are those above.
        scores = self._scored("event", scored_from, version, version.score(features, as_of_us), raised[chosen])
        self._risk[1, account], self._tier[1, account] = scores.risk, scores.tier
        self._since.update(zip(account.tolist(), zip(as_of_us.tolist(), features, strict=True), strict=True))
        return scores

    def _scored(
        self, trigger: Trigger, scored_from: _ScoredFrom, version: ModelVersion, scored: Scored, tier: NDArray[np.int8]
    ) -> ScoredRows:
        account, ids, as_of_us, features = scored_from
        chain = 0 if trigger == "tick" else 1
        previous_risk, previous = self._risk[chain, account], self._tier[chain, account]
        before, before_us = self._last_scored_from(chain, account)
        log_odds = logits(scored.risk)
        delta, model_delta = _deltas(scored, version.score(before, before_us), log_odds, previous_risk)
        days, curve, months, value = self._prospect(version, scored.risk, log_odds, features[:, INDEX["mrr_cents"]])
        return ScoredRows(
            trigger=trigger,
            ids=ids,
            as_of_us=as_of_us,
            features=features,
            risk=scored.risk,
            previous_risk=previous_risk,
            tier=tier,
            previous_tier=previous,
            contributions=scored.contributions,
            before=before,
            delta=delta,
            model_delta=model_delta,
            curve_days=days,
            curve=curve,
            expected_months=months,
            lifetime_value_cents=value,
            segment=segments(features, tier),
            version=version,
        )

    def _last_scored_from(
        self, chain: int, account: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
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

    @property
    def _since_pages(self) -> Pages[_SincePage]:
        """Accounts, times and features of scores since the tick, in the order in which accounts were first scored."""
        return Pages(self._scored_since)

    @_since_pages.setter
    def _since_pages(self, pages: list[_SincePage]) -> None:
        for accounts, as_of_us, features in pages:
            self._since.update(zip(accounts, zip(as_of_us, features, strict=True), strict=True))

    def _scored_since(self) -> Iterator[_SincePage]:
        scored_from = iter(self._since.items())
        while page := list(islice(scored_from, SINCE_PER_PAGE)):
            yield (
                [account for account, _ in page],
                [as_of_us for _, (as_of_us, _) in page],
                np.stack([features for _, (_, features) in page]),
            )


def _deltas(
    now: Scored, then: Scored, log_odds: NDArray[np.float64], previous_risk: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each feature's change adds to the log-odds under today's version, and what the version's change adds."""
    delta = now.contributions - then.contributions
    delta[np.isnan(previous_risk)] = np.nan
    rest = log_odds - logits(previous_risk)
    for column in delta.T:  # in the order of the features: the same bits for any number of rows
        rest -= column
    return delta, rest
