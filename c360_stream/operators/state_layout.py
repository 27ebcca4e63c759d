"""The layout of all that a recovery directory keeps: another release, or other settings, may not read it."""

from __future__ import annotations

from c360_stream.features.definitions import FEATURE_VERSION, FEATURES
from c360_stream.features.shard import AccountShard
from c360_stream.features.windows import KINDS, SLOTS
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.learning.learner import Learner
from c360_stream.monitoring.histograms import BINS, COARSE_BINS, RISK_BINS
from c360_stream.monitoring.hourly_counts import HISTORY_HOURS
from c360_stream.operators.monitor import MonitorLogic
from c360_stream.operators.score import ScoreLogic
from c360_stream.settings import Settings
from c360_stream.state.fields import Kept
from c360_stream.state.layout import Layout, under
from c360_stream.state.outbox import Outbox

ROOTS: dict[str, type[Kept]] = {
    "accounts": AccountShard,
    "learn": Learner,
    "score": ScoreLogic,
    "monitor": MonitorLogic,
    "outbox": Outbox,
}
"""What has the state of each step."""


STATE_FORMAT = 1
"""Raise it when stored bytes keep their types and change their meaning: hashes, codes, JSON, what a source stores."""


def common_layout(settings: Settings) -> Layout:
    """What the state of every step depends on, beside the declared fields: settings, and lengths of arrays."""
    lengths = {
        "events by day": f"{len(KINDS)} kinds, {SLOTS} days",
        "events by hour": f"{HISTORY_HOURS} hours",
        "labels corrected": f"{CORRECTION_DAYS} days",
        "histograms": f"{BINS} and {COARSE_BINS} bins, {RISK_BINS} of risks",
    }
    return (
        f"C360_SHARDS: {settings.shards}",
        f"C360_HORIZON_DAYS: {settings.horizon_days}",
        f"format of state: {STATE_FORMAT}",
        f"version of features: {FEATURE_VERSION}",
        *(f"{name}: {length}" for name, length in lengths.items()),
        *(f"features.{name}: float64" for name in FEATURES),
    )


def whole_layout(settings: Settings) -> Layout:
    """The layout of every step's state, and what it depends on."""
    steps = (line for step, root in ROOTS.items() for line in under(step, root.layout()))
    return (*common_layout(settings), *steps)
