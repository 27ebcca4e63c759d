"""The churn flow: wires sources, steps and sinks; nothing else."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream

from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.ports import Transport
from c360_stream.contracts.events import US_PER_HOUR
from c360_stream.contracts.records import DeadLetter
from c360_stream.errors import ConfigurationError
from c360_stream.features.columns import Heartbeats
from c360_stream.operators.accounts import AccountsStep
from c360_stream.operators.alignment import FILE_VARIABLE, ReadAlignment
from c360_stream.operators.heartbeats import HeartbeatStep
from c360_stream.operators.ingest import IngestSource, input_partitions
from c360_stream.operators.ingest_partition import shard_key
from c360_stream.operators.learn import LearnStep
from c360_stream.operators.life import RunLife, log_from
from c360_stream.operators.monitor import MonitorStep
from c360_stream.operators.rest import Rest
from c360_stream.operators.rows import (
    DeadLetters,
    Output,
    TableRows,
    TopicRecords,
    dead_letter_outputs,
    learned_outputs,
)
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.score import ScoreStep
from c360_stream.operators.sink import TableSink
from c360_stream.operators.state_layout import common_layout
from c360_stream.operators.tick_scheduler import TickScheduler
from c360_stream.operators.topic_sink import Begun, TopicSink
from c360_stream.pipeline import (
    LearnerInput,
    MonitorInput,
    learning_config,
    monitor_config,
    scoring_config,
    shard_config,
    shard_versions,
)
from c360_stream.scoring.scorer import ScorerInput
from c360_stream.settings import Settings, load_settings
from c360_stream.state.backend import StateBackend
from c360_stream.state.outbox import Pulse

T = TypeVar("T")


def flow() -> Dataflow:
    """The flow as the environment describes it: what `python -m bytewax.run flows.churn` runs."""
    settings = load_settings()
    # Its number in a cluster, if the environment has it; the engine gives it to nobody yet.
    log_from(settings, process=int(os.environ.get("BYTEWAX_PROCESS_ID") or 0))
    run = RunContext()
    dataflow, life = build(settings, run=run), RunLife(settings, run)
    life.started()
    atexit.register(_log_end, life)
    return dataflow


def _log_end(life: RunLife) -> None:
    """Log how it ended, from what the interpreter ends with; a signal ends it without asking."""
    match getattr(sys, "last_value", None):
        case None:
            life.ended("input_ended")
        case KeyboardInterrupt():
            life.ended("stopped")


def build(
    settings: Settings,
    *,
    run: RunContext,
    keep_state: bool = True,
    recovery: Path | None = None,
    exactly_once: bool = False,
    may_rest: bool = False,
    begun: Begun | None = None,
    transport: Transport | None = None,
    open_store: Callable[[Settings], TableStore] | None = None,
) -> Dataflow:
    """Wire the flow.

    Parameters
    ----------
    settings
        Settings.
    run
        What the flow shares with what started it.
    keep_state
        Whether snapshots hold state; false saves their cost where no recovery store will keep them.
    recovery
        The recovery directory, where large state has files of its own. None: the engine's store gets all of it.
    exactly_once
        Whether output waits for the snapshot that holds it. This needs a recovery store, and somebody who calls
        `run.outboxes.finish` when the engine has returned.
    may_rest
        Whether one worker in one process will run all of it, which may sleep, then, while there is no input.
    begun
        How the recovery store began, to go back to before the first snapshot.
    transport, open_store
        Other places for topics and tables than the settings name.

    Raises
    ------
    ConfigurationError
        If there is no input partition.
    """
    transport = transport or open_transport(settings, run.outages)
    partitions = _input_partitions(settings, transport)
    backend = StateBackend(keep_state, common_layout(settings), recovery, run.snapshots)
    run.show()
    dataflow = Dataflow("churn")
    turns = TickScheduler()
    rest = Rest(len(partitions) if may_rest else None, turns.waited_for)
    source = _source(settings, transport, partitions, run, recovering=exactly_once, rest=rest)
    read = op.input("ingest", dataflow, source)
    outputs = _steps(settings, partitions, backend, run, turns=turns, read=read)
    pulses = op.filter_map("pulses", read, _only(Pulse))
    tables = TableSink(settings, run, recovering=exactly_once, open_store=open_store)
    rows_out = op.filter_map("table_rows", outputs, _only(TableRows))
    op.output("tables", _spread("tables", rows_out, pulses, tables.parts), tables)
    topics = TopicSink(settings, transport, run, recovering=exactly_once, begun=begun or Begun())
    records_out = op.filter_map("topic_records", outputs, _only(TopicRecords))
    op.output("topics", _spread("topics", records_out, pulses, topics.parts), topics)
    return dataflow


def _input_partitions(settings: Settings, transport: Transport) -> tuple[str, ...]:
    partitions = input_partitions(settings, transport)
    if not partitions:
        place = settings.kafka_brokers or settings.log_dir
        raise ConfigurationError(
            f"no input partition in {place}",
            f"write {settings.input_topic('product')}/0.jsonl there, or check C360_LOG_DIR and C360_TOPIC_PREFIX",
        )
    return partitions


def _source(
    settings: Settings,
    transport: Transport,
    partitions: tuple[str, ...],
    run: RunContext,
    *,
    recovering: bool,
    rest: Rest,
) -> IngestSource:
    shared = os.environ.get(FILE_VARIABLE)
    alignment = ReadAlignment(partitions, settings.read_ahead_hours * US_PER_HOUR, Path(shared) if shared else None)
    return IngestSource(settings, transport, partitions, alignment, run=run, recovering=recovering, rest=rest)


def _steps(
    settings: Settings,
    partitions: tuple[str, ...],
    backend: StateBackend,
    run: RunContext,
    *,
    turns: TickScheduler,
    read: Stream[Any],
) -> Stream[Output]:
    """The steps between source and sinks: the pipeline's parts, with dead letters and heartbeats beside them."""
    batches: KeyedStream[Any] = op.filter_map("batches", read, _only(tuple))
    accounts = op.stateful_batch("accounts", batches, AccountsStep(shard_config(settings, partitions), backend, run))
    examples = op.filter_map("examples", accounts, _only_value(LearnerInput, "model"))
    learn = LearnStep(settings.shards, learning_config(settings), backend, run)
    learned = op.stateful_batch("learn", examples, learn)
    versions = op.flat_map(
        "broadcast",
        learned,
        lambda item: [(shard_key(each.shard), each) for each in shard_versions(item[1], settings.shards)],
    )
    rows = op.filter_map("rows", accounts, _only_value(ScorerInput | Heartbeats))
    rows_and_versions = op.merge("rows_and_versions", rows, versions)
    score = ScoreStep(settings, scoring_config(settings), backend, run, turns)
    scored = op.stateful_batch("score", rows_and_versions, score)
    hours = op.filter_map("hours", accounts, _only_value(MonitorInput, "monitor"))
    stats = op.filter_map("stats", scored, _only_value(MonitorInput, "monitor"))
    monitor = MonitorStep(settings, monitor_config(settings), backend, run)
    monitored = op.stateful_batch("monitor", op.merge("hours_and_stats", hours, stats), monitor)
    passed = op.filter_map("passed", scored, _only_value(Heartbeats, "heartbeats"))
    heartbeats = op.stateful_batch("heartbeats", passed, HeartbeatStep(settings, run))
    letters = op.merge(
        "dead_letters",
        op.filter_map("refused", read, _only(DeadLetters)),
        op.filter_map(
            "refused_after_all",
            accounts,
            lambda item: DeadLetters([item[1]]) if isinstance(item[1], DeadLetter) else None,
        ),
    )
    return op.merge(
        "outputs",
        op.flat_map("letters_out", letters, lambda item: dead_letter_outputs(settings, item.letters)),
        op.flat_map("learned_out", learned, lambda item: learned_outputs(settings, item[1])),
        op.map("scores_out", scored, lambda item: item[1]),
        op.map("monitor_out", monitored, lambda item: item[1]),
        op.map("heartbeats_out", heartbeats, lambda item: item[1]),
    )


def _spread(sink: str, items: Stream[Any], pulses: Stream[Pulse], parts: int) -> KeyedStream[Any]:
    """Key items by their partition of a sink, and give every partition the pulses."""
    keyed = op.map(f"{sink}_keyed", items, lambda item: (str(item.part % parts), item))
    names = [str(part) for part in range(parts)]
    beats = op.flat_map(f"{sink}_pulses", pulses, lambda pulse: [(name, pulse) for name in names])
    return op.merge(f"{sink}_in", keyed, beats)


def _only(kind: type[T]) -> Callable[[object], T | None]:
    """Keep items of a kind."""
    return lambda item: item if isinstance(item, kind) else None


def _only_value(kinds: type | UnionType, key: str | None = None) -> Callable[[tuple[str, Any]], tuple[str, Any] | None]:
    """Keep keyed items whose value is of a kind, under another key if one is given."""
    return lambda item: (key or item[0], item[1]) if isinstance(item[1], kinds) else None
