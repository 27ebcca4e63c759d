"""Scoring one shard's accounts: at ticks with the version of that tick, in between with the newest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.features.definitions import INDEX
from c360_stream.features.emissions import FinalLabels, IntradayRows, TickRows
from c360_stream.models.classifier import logits
from c360_stream.models.version import ModelVersion
from c360_stream.models.version_json import PlainVersion, version_from_state, version_state
from c360_stream.monitoring.tick_stats import MONDAY
from c360_stream.monitoring.value_check import ValueCheck
from c360_stream.scoring.account_scores import AccountScores, ScoringConfig
from c360_stream.scoring.scored import FinalOutcomes, ScoredRows, ScoredTick, ScorerOutput
from c360_stream.scoring.segments import NO_SEGMENT
from c360_stream.scoring.stored_risks import StoredRisks
from c360_stream.scoring.tiers import HIGH
from c360_stream.scoring.value import ValueLedger, lifetimes
from c360_stream.state.codec import IDS_PER_PAGE
from c360_stream.state.fields import Kept, deque_of, dict_of, fields, one_of, optional, paged_list, stored_as

_VERSION = stored_as(PlainVersion, version_state, version_from_state)


@dataclass(frozen=True, slots=True)
class ShardVersion:
    """A tick's model version, on its way to a shard's scorer."""

    shard: int
    day: int
    version: ModelVersion


ScorerInput = TickRows | IntradayRows | FinalLabels | ShardVersion
"""Rows and labels of the shard's accounts, and the versions of the learner."""


class ShardScorer(Kept):
    """Scores the accounts of one shard, in order: rows and labels wait for the version of the tick before them.

    Labels are joined with the risks that were stored at their as-of, and go past the scores. How long a tier is kept
    follows from the stored risks, too, so nothing else has to be remembered for it.

    Memory: (horizon + 9) x 8 + 339 bytes per account.

    Parameters
    ----------
    config
        Settings.
    """

    kept = fields(
        _ids=paged_list(str, IDS_PER_PAGE),
        _risks=StoredRisks,
        _scores=AccountScores,
        _segment=NDArray[np.int8],
        _value=ValueLedger,
        _waiting=deque_of(one_of(tick=TickRows, event=IntradayRows, labels=FinalLabels)),
        _versions=dict_of(int, _VERSION),
        _newest=optional(_VERSION),
    )

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self._ids: list[str] = []
        self._risks = StoredRisks(config.horizon_days)
        self._scores = AccountScores(config)
        self._segment = np.full(64, NO_SEGMENT, np.int8)
        self._value = ValueLedger(config.value)
        self._waiting: deque[TickRows | IntradayRows | FinalLabels] = deque()
        self._versions: dict[int, ModelVersion] = {}
        self._newest: ModelVersion | None = None

    def take(self, message: ScorerInput) -> list[ScorerOutput]:
        """Take rows, labels or the version of a tick; give the scores that are ready."""
        self.hold(message)
        return list(self.ready())

    def hold(self, message: ScorerInput) -> None:
        """Take rows, labels or the version of a tick, which wait: for that version, or for the scores before them."""
        if isinstance(message, ShardVersion):
            self._versions[message.day] = message.version
            return
        if not isinstance(message, FinalLabels):
            self._ids.extend(message.new_ids)
            self._reserve(len(self._ids))
        self._waiting.append(message)

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
        self._risks.reserve(accounts)
        self._scores.reserve(accounts)
        self._segment = grow_array(self._segment, accounts, NO_SEGMENT)
        self._value.reserve(accounts)

    def ready(self) -> Iterator[ScorerOutput]:
        """Score what waits, in order, up to the first tick whose version is not there yet.

        What the caller does not ask for keeps waiting, and a snapshot holds it.
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
            if isinstance(head, FinalLabels):
                yield FinalOutcomes(head.shard, head.time_us, self._risks.outcomes(self._ids, head.known))
                continue
            version = self._newest
            if version is not None and (scores := self._scores.between_ticks(head, self._ids, version)) is not None:
                yield scores

    def _tick(self, rows: TickRows, version: ModelVersion) -> ScoredTick:
        labels, risks, gone = rows.labels, self._risks, rows.gone
        outcomes, matured = (risks.outcomes(self._ids, known) for known in (labels.known, labels.matured))
        high = self.config.thresholds[HIGH - 1]
        found = risks.leads(rows.day, gone, self._scores.mrr_cents(gone), labels.known, high)
        self._scores.forget(gone)
        self._segment[gone] = NO_SEGMENT
        scores = self._scores.at_tick(rows, self._ids, version, risks)
        risks.store(rows.day, rows.account, scores.risk)
        return ScoredTick(
            shard=rows.shard,
            day=rows.day,
            scores=scores,
            gone=sorted(self._ids[i] for i in gone.tolist()),
            labels=labels,
            outcomes=outcomes,
            matured=matured,
            leads=found,
            value=self._check_value(rows, scores),
            kept_segment=self._keep_segments(rows, scores),
        )

    def _check_value(self, rows: TickRows, scores: ScoredRows) -> ValueCheck | None:
        curve = scores.version.curve
        if curve is None:
            return None
        worth = lifetimes(curve, self.config.value).worth(logits(scores.risk), check=True)
        return self._value.tick(rows.day, rows.account, rows.features[:, INDEX["mrr_cents"]], worth)

    def _keep_segments(self, rows: TickRows, scores: ScoredRows) -> tuple[int, int]:
        if rows.day % 7 != MONDAY:
            return 0, 0
        before = self._segment[rows.account]
        known = before != NO_SEGMENT
        self._segment[rows.account] = scores.segment
        return int(np.count_nonzero(known & (before == scores.segment))), int(np.count_nonzero(known))
