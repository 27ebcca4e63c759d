"""Every Prometheus metric: its name, its unit and the question that it answers.

Steps import the objects below and call them once a batch, tick or flush, never once an event. Names start
with `c360_`, use base units (`_seconds`, `_bytes`) and end in `_total` on counters. No label's values grow
with the accounts: topics, partitions, shards, steps, tables and tiers are bounded by the configuration, and reasons
by `logs.refusals.DEAD_LETTER_REASONS_MAX`.
"""

from __future__ import annotations

import math
import time
from itertools import product
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from c360_stream import __version__
from c360_stream.contracts.records import TIERS, AlarmKind, Severity, Trigger

# A `_created` series beside every counter and histogram would double the page and answers nothing here: a
# restart already shows in c360_process_start_time_seconds.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""What `/metrics` serves: this process's metrics and no other library's."""

ProcessCollector(namespace="c360", registry=REGISTRY)
Info("c360_build", "Version of c360-stream: which release a process runs.", registry=REGISTRY).info(
    {"version": __version__}
)

LATENCY_BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

SIZE_BUCKETS_BYTES = tuple(float(4**power) for power in range(5, 15))  # 1 KiB to 256 MiB


def _counter(name: str, why: str, *labels: str) -> Counter:
    return Counter(name, why, labels, registry=REGISTRY)


def _gauge(name: str, why: str, *labels: str) -> Gauge:
    return Gauge(name, why, labels, registry=REGISTRY)


def _histogram(name: str, why: str, label: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, why, (label,), buckets=buckets, registry=REGISTRY)


# Process ----------------------------------------------------------------------

READY = _gauge(
    "c360_ready",
    "1 if /readyz answers ok, else 0: it starts, waits for a broker or a server, or stands still.",
)
CLUSTER_PROCESSES = _gauge(
    "c360_cluster_processes",
    "Processes of the cluster, as given to each at its start: fewer that answer means that some are missing.",
)

# Settings that alerts compare with, so that no rule has to be edited with them.
ALLOWED_LATENESS_SECONDS = _gauge(
    "c360_allowed_lateness_seconds",
    "C360_ALLOWED_LATENESS_SECONDS: a live watermark is that far behind the clock while all is well.",
)
EARLY_EVENTS_MAX = _gauge(
    "c360_early_events_max",
    "Bound on c360_early_events in each shard, C360_EARLY_EVENTS_MAX over C360_SHARDS: past it the run ends.",
)
MODEL_AUC_MIN = _gauge(
    "c360_model_auc_min",
    "C360_AUC_MIN: a ROC-AUC certainly below it is an alarm.",
)

# Input ------------------------------------------------------------------------

EVENTS_READ = _counter(
    "c360_events_read_total",
    "Records read from an input topic, good or bad: the throughput.",
    "topic",
)
EVENTS_ACCEPTED = _counter(
    "c360_events_accepted_total",
    "Records that decoded as events: accepted plus dead letters equals read.",
    "topic",
)
DEAD_LETTERS = _counter(
    "c360_dead_letters_total",
    "Records refused, by the stage that refused them: a producer breaks its contract.",
    "topic",
    "stage",
)
DEAD_LETTER_REASONS = _counter(
    "c360_dead_letter_reasons_total",
    "The same records, by the field and the rule that they break, at most 64 reasons per topic and the rest as one.",
    "topic",
    "reason",
)
LATE_EVENTS = _counter(
    "c360_late_events_total",
    "Events behind the watermark: they count in later as-ofs, ticks already emitted lack them.",
)
LATE_EVENTS_AFTER_TICK = _counter(
    "c360_late_events_after_tick_total",
    "Late events that came after the tick of their day: that tick's scores, already emitted, lack them.",
)
SUBSCRIPTION_EVENTS_MISPLACED = _counter(
    "c360_subscription_events_misplaced_total",
    "Subscription events behind more than 8,192 later ones of their account: a downgrade at one of them may be missed.",
)
DUPLICATE_EVENTS = _counter(
    "c360_duplicate_events_total",
    "Events dropped because their event_id was seen within the deduplication window: producers retry.",
)
EARLY_EVENTS = _gauge(
    "c360_early_events",
    "Events that wait in a shard for the tick before them: near the bound, the topics are badly skewed.",
    "shard",
)
INPUT_PARTITIONS = _gauge(
    "c360_input_partitions",
    "Partitions that the run reads: fewer than the topic has means that a restart is needed.",
    "topic",
)
INPUT_PARTITIONS_FOUND = _gauge(
    "c360_input_partitions_found",
    "Partitions that a Kafka topic has, looked up once a minute: more than c360_input_partitions are not read.",
    "topic",
)
CONSUMER_LAG_RECORDS = _gauge(
    "c360_consumer_lag_records",
    "Kafka records between the position and the end of a partition: the flow keeps up, or does not.",
    "topic",
    "partition",
)
CONSUMER_LAG_BYTES = _gauge(
    "c360_consumer_lag_bytes",
    "Bytes between the position and the end of a log directory's partition: as for Kafka's records.",
    "topic",
    "partition",
)
INTAKE_PAUSE_MAX_SECONDS = _gauge(
    "c360_intake_pause_max_seconds",
    "Longest time of the last 15 to 30 s without a look at the input: a step, a snapshot or a sink had the engine.",
)

# Heartbeats -------------------------------------------------------------------

HEARTBEAT_BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0)
HEARTBEATS_READ = _counter(
    "c360_heartbeats_read_total",
    "Heartbeats among the accepted records: none read means that none is sent, whatever becomes of the rest.",
    "topic",
)
HEARTBEAT_TIMESTAMP_SECONDS = _gauge(
    "c360_heartbeat_timestamp_seconds",
    "When the newest heartbeat was sent that went from an input partition through all shards to a table or topic,"
    " which has acknowledged it; in Unix seconds. Its age is how fresh the output is, by the whole way.",
    "topic",
    "partition",
    "sink",
)
HEARTBEAT_LATENCY_SECONDS = _histogram(
    "c360_heartbeat_latency_seconds",
    "Time from a heartbeat's sending until a table or topic has acknowledged it: how long the whole way takes.",
    "sink",
    HEARTBEAT_BUCKETS_SECONDS,
)

# Time -------------------------------------------------------------------------

WATERMARK_TIMESTAMP_SECONDS = _gauge(
    "c360_watermark_timestamp_seconds",
    "Event time, in Unix seconds, before which input counts as complete; NaN until every partition has a mark.",
)
WATERMARK_LAG_SECONDS = _gauge(
    "c360_watermark_lag_seconds",
    "Wall clock less watermark, taken at the scrape: it grows while the flow stands still.",
)
TICKS_CLOSED = _counter(
    "c360_ticks_closed_total",
    "Daily ticks that every shard has closed: live, one per day.",
)
TICK_TIMESTAMP_SECONDS = _gauge(
    "c360_tick_timestamp_seconds",
    "As-of of the newest tick that all shards have scored since this process started, in Unix seconds: that of"
    " tick_scored in the log. NaN in processes that do not have the monitor, and until the first tick.",
)
TICK_TIMESTAMP_SECONDS.set(math.nan)


def set_watermark(event_time_seconds: float) -> None:
    """Move the watermark; its lag follows the wall clock from here on.

    Parameters
    ----------
    event_time_seconds
        Unix seconds. Infinity, the mark of an input that has ended, leaves the last finite value in place.
    """
    if not math.isinf(event_time_seconds):
        WATERMARK_TIMESTAMP_SECONDS.set(event_time_seconds)
        WATERMARK_LAG_SECONDS.set_function(lambda: time.time() - event_time_seconds)


set_watermark(math.nan)

# Accounts, scores, alarms -----------------------------------------------------

ACCOUNTS_ACTIVE = _gauge(
    "c360_accounts_active",
    "Accounts with an active subscription, per shard: a fall that sales does not know of is lost input.",
    "shard",
)
SCORES_EMITTED = _counter(
    "c360_scores_emitted_total",
    "Risk scores emitted, by trigger (tick or event) and tier: a rush of critical ones is news.",
    "trigger",
    "tier",
)
ALARMS_RAISED = _counter(
    "c360_alarms_raised_total",
    "Drift alarms raised, by kind and severity.",
    "kind",
    "severity",
)

# Learning ---------------------------------------------------------------------

EXAMPLES_LEARNT = _counter(
    "c360_examples_learnt_total",
    "Matured examples learnt from, by outcome (churned or stayed): no growth means no labels.",
    "outcome",
)
OUTCOMES_PENDING = _gauge(
    "c360_outcomes_pending",
    "Examples whose label is not yet known, per shard.",
    "shard",
)
MODEL_AUC = _gauge(
    "c360_model_auc",
    "Prequential area under the ROC curve of the stored scores, 0.5 (chance) to 1.",
    "model_name",
)
MODEL_LOG_LOSS = _gauge(
    "c360_model_log_loss",
    "Prequential mean log loss of the stored scores, in nats per example.",
    "model_name",
)
MODEL_CALIBRATION_RATIO = _gauge(
    "c360_model_calibration_ratio",
    "Mean predicted risk divided by the observed churn rate of matured examples: 1 is calibrated.",
    "model_name",
)
MODEL_INFO = Info(
    "c360_model",
    "The model that scores now: model_name, model_version, feature_version.",
    registry=REGISTRY,
)

# State and sinks --------------------------------------------------------------

SNAPSHOT_DURATION_SECONDS = _histogram(
    "c360_snapshot_duration_seconds",
    "Time a step takes to snapshot one key: the flow stands still meanwhile.",
    "step",
    LATENCY_BUCKETS_SECONDS,
)
SNAPSHOT_TIMESTAMP_SECONDS = _gauge(
    "c360_snapshot_timestamp_seconds",
    "Unix time at which a step last kept the state of a key, absent without --recovery: a crash repeats what is newer.",
    "step",
)
SNAPSHOT_SIZE_BYTES = _histogram(
    "c360_snapshot_size_bytes",
    "What one key's snapshot wrote, files beside the engine's included: what changed since the one before.",
    "step",
    SIZE_BUCKETS_BYTES,
)
SINK_FLUSH_DURATION_SECONDS = _histogram(
    "c360_sink_flush_duration_seconds",
    "Time until a table or topic has acknowledged a batch: back-pressure starts here.",
    "sink",
    LATENCY_BUCKETS_SECONDS,
)
SINK_WAITING_SECONDS = _gauge(
    "c360_sink_waiting_seconds",
    "Age of the oldest insert, transaction or flush that a table or topic has not acknowledged, at the scrape."
    " What goes to a topic at once is flushed at the next snapshot.",
    "sink",
)
SINK_ROWS = _counter(
    "c360_sink_rows_total",
    "Rows that a table, or records that a topic, has acknowledged, or was given to send at once; repeats included.",
    "sink",
)
SINK_ERRORS = _counter(
    "c360_sink_errors_total",
    "Writes to a table or topic that were given up: each ends the run, none loses rows. Retries are not counted.",
    "sink",
)

# A counter that begins at its first count has no rise: increase() would miss the first tick after each restart.
for _labels in product(get_args(Trigger), TIERS):
    SCORES_EMITTED.labels(*_labels)
for _labels in product(get_args(AlarmKind), get_args(Severity)):
    ALARMS_RAISED.labels(*_labels)
for _outcome in ("churned", "stayed"):
    EXAMPLES_LEARNT.labels(_outcome)


def count(counter: Counter, **labels: str) -> int:
    """Sum of a counter of this process over its labels, or over those that have these values.

    Asking for one counter takes microseconds; `total` reads all metrics.

    >>> counted = Counter("c360_doctest", "why", ["topic"], registry=None)
    >>> counted.labels("a").inc(2)
    >>> counted.labels("b").inc()
    >>> count(counted), count(counted, topic="a")
    (3, 2)
    """
    (family,) = counter.collect()
    return int(
        sum(
            sample.value
            for sample in family.samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )
    )


def total(name: str) -> float:
    """Sum of a metric of this process over all its labels.

    >>> total("c360_no_such_metric_total")
    0.0
    """
    return sum((s.value for family in REGISTRY.collect() for s in family.samples if s.name == name), 0.0)
