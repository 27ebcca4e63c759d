"""A company's flow without the engine: shards, learner and scorers, with what passes between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from c360_stream.contracts.records import DriftAlarm, encode_drift_alarm
from c360_stream.features.emissions import Emission, IntradayRows, TickExamples, TickRows
from c360_stream.learning.learner import LearnedTick, Learner, LearningConfig
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.horizons import learnt_horizons
from c360_stream.scoring.account_scores import ScoringConfig
from c360_stream.scoring.scored import ScorerOutput
from c360_stream.scoring.scorer import ShardScorer, ShardVersion
from c360_stream.state.codec import pack
from tests.reference.worlds import WorldSpec, make_world
from tests.unit.features.deliveries import HORIZON_DAYS, Delivery, deliver, plain

SHARDS = 3
CURVE_DAYS = (1, 2, 4, 6)
# Everything is material, and few outcomes warm the model: small worlds reach every branch.
MODEL = ModelConfig(warmup_outcomes=20, warmup_churned=3, horizon_days=HORIZON_DAYS)
LEARNING = LearningConfig(
    MODEL,
    challengers=("online-logistic-fast", "online-logistic-early", "online-logistic-hazard"),
    example_stride_days=2,
    retrain_days=15,
    replay_examples_max=50,
    horizons=learnt_horizons(HORIZON_DAYS, CURVE_DAYS),
)
SCORING = ScoringConfig(HORIZON_DAYS, (0.10, 0.25, 0.50), 0.1, 3, 0.002, CURVE_DAYS)


@dataclass
class ShardMessages:
    """One shard's messages in their order: rows to its scorer, examples to the learner."""

    rows: list[TickRows | IntradayRows] = field(default_factory=list)
    examples: list[TickExamples] = field(default_factory=list)


@cache
def company() -> list[ShardMessages]:
    """What the shards of a small messy company emit, 40 days of it."""
    messages = [ShardMessages() for _ in range(SHARDS)]

    def collect(emission: Emission) -> None:
        if isinstance(emission, TickRows | IntradayRows):
            messages[emission.shard].rows.append(emission)
        elif isinstance(emission, TickExamples):
            messages[emission.shard].examples.append(emission)

    events = make_world(WorldSpec(seed=5, accounts=24, days=40, product_events_a_day=3.0))
    delivery = Delivery(seed=1, batch_events=400, reorder=0.5, duplicates=0.02, shards=SHARDS)
    deliver(events, delivery, collect)  # type: ignore[arg-type]
    return messages


@cache
def learned_ticks() -> list[LearnedTick]:
    """What the learner makes of the company."""
    return learn(Learner(SHARDS, LEARNING), (part for shard in company() for part in shard.examples))


def learn(learner: Learner, parts: Iterable[TickExamples]) -> list[LearnedTick]:
    """Give parts to a learner; the ticks that became whole."""
    return [learned for part in parts if (learned := learner.receive(part)) is not None]


def score(shard: int) -> list[ScorerOutput]:
    """Everything that a shard's scorer gives, its versions known ahead."""
    scorer = ShardScorer(SCORING)
    out: list[ScorerOutput] = []
    for learned in learned_ticks():
        out += scorer.take(ShardVersion(0, learned.day, learned.version))
    for rows in company()[shard].rows:
        out += scorer.take(rows)
    return out


def as_bytes(values: Iterable[object]) -> bytes:
    """To compare what steps give to the last bit."""
    return pack("values", [_with_alarms(plain(value)) for value in values])


def _with_alarms(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_alarms(each) for each in value]
    return encode_drift_alarm(value) if isinstance(value, DriftAlarm) else value
