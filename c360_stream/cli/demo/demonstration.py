"""`c360 demo`: simulates a company, runs the flow over it and prints the findings; nothing to install or configure."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast, get_args

from c360_stream.cli.demo.findings import read_findings
from c360_stream.cli.demo.summary import Company, print_summary
from c360_stream.cli.setup.creation import topics
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.errors import C360Error, ConfigurationError, StateError
from c360_stream.logs.lines import LogLevel
from c360_stream.settings import Settings
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, simulate
from c360_stream.tools.simulate.progress import day_progress

MARKER = ".c360-demo"
TRUTH = "truth.jsonl"
RUN_LOG = "run.log"
# Thinner than a real product's traffic, and few shards: the time goes to accounts and days, which make the model.
EVENTS_PER_ACCOUNT_DAY = 8.0
SHARDS = 4
POLL_SECONDS = 0.2
STOP_SECONDS = 5.0
TAIL_BYTES = 16 * 1024
_AS_OF = re.compile(rb'"as_of":"(\d{4}-\d\d-\d\d)')


@dataclass(frozen=True)
class Counts:
    """Counts from the metrics of the process that ran the flow."""

    read: int
    accepted: int
    late: int
    duplicates: int


def demo(out: Path, accounts: int, days: int, seed: int, scenario: str) -> None:
    """Run the demo, with progress on stderr and the summary on stdout.

    The user's own settings play no part.

    Parameters
    ----------
    out
        Directory for everything: new, empty, or of an earlier demo, which is replaced.
    accounts, days, seed, scenario
        As in `SimulationSpec`.

    Raises
    ------
    ConfigurationError
        If the directory holds anything else, the world is impossible, or the embedded database is not installed.
    C360Error
        If the flow failed.
    """
    spec = SimulationSpec(
        accounts, days, seed, scenario=scenario, events_per_account_day=EVENTS_PER_ACCOUNT_DAY, topic_prefix="c360"
    )
    # The defaults, without looking at the environment or c360.toml, save for how much the log has.
    settings = Settings.model_construct(
        log_dir=out, live=False, metrics_address="127.0.0.1:0", shards=SHARDS, log_level=_log_level()
    )
    if find_spec("chdb") is None:
        raise ConfigurationError(
            "c360 demo needs the embedded database, which is not installed (the container image leaves it out)",
            "run make demo in a clone, or install chdb",
        )
    with _claimed(out, settings):
        # Tables first: a database that cannot work here fails before anything takes time.
        with contextlib.closing(connect(settings.dsn)) as tables:
            tables.migrate()
        events_by_day = _simulate(spec, out)
        counts = _run_flow(settings, spec, events_by_day)
        with contextlib.closing(connect(settings.dsn)) as tables:
            findings = read_findings(tables, out / TRUTH)
        company = Company(spec, counts.read, counts.accepted, counts.late, counts.duplicates)
        print_summary(settings, company, findings)


def _log_level() -> LogLevel:
    """The level of run.log, from the environment: few people read the log of a run without errors."""
    asked = os.environ.get("C360_LOG_LEVEL", "warning")
    for level in get_args(LogLevel):
        if asked == level:
            return cast(LogLevel, level)
    raise ConfigurationError(f"C360_LOG_LEVEL is {asked!r}", f"set it to one of {', '.join(get_args(LogLevel))}")


@contextlib.contextmanager
def _claimed(out: Path, settings: Settings) -> Iterator[None]:
    """Empty the directory and lock it against other demos."""
    marker = out / MARKER
    out.mkdir(parents=True, exist_ok=True)
    if not marker.exists() and any(out.iterdir()):
        raise ConfigurationError(f"{out} holds something that is no demo's", "choose another --out")
    with marker.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"another demo is at work in {out}", "wait for it, or choose another --out") from None
        for name in (*topics(settings), "tables"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(out / name)
        for name in (TRUTH, RUN_LOG):
            (out / name).unlink(missing_ok=True)
        yield


def _simulate(spec: SimulationSpec, out: Path) -> list[int]:
    """Write the company's events and truth; the number of events up to the end of each day."""
    events_by_day: list[int] = []
    with day_progress("simulating a company", spec.days) as report_day:

        def progress(day: int, events: int) -> None:
            events_by_day.append(events)
            report_day(day, events)

        simulate(spec, LogDirectorySink(out, spec.topic_prefix, spec.partitions), out / TRUTH, progress)
    return events_by_day


def _run_flow(settings: Settings, spec: SimulationSpec, events_by_day: list[int]) -> Counts:
    """Run the flow in a process of its own, its output in a file, and follow it by the scores that it publishes."""
    context = multiprocessing.get_context("spawn")
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_flow, args=(settings, answer), daemon=True)
    process.start()
    answer.close()
    scores = settings.log_dir / settings.risk_topic / "0.jsonl"
    try:
        with day_progress("running the flow", spec.days) as report_day:
            reached = 0
            while not answers.poll(POLL_SECONDS):
                reached = _report_days(report_day, reached, _day_of(scores, spec), events_by_day)
            result = _result(answers, process, settings.log_dir / RUN_LOG)
            _report_days(report_day, reached, spec.days, events_by_day)
    finally:
        _stop(process)
    return result


def _report_days(report_day: Callable[[int, int], None], reached: int, day: int, events_by_day: list[int]) -> int:
    """Report every day that is new, as the plain progress counts them; return the last."""
    for done in range(reached + 1, day + 1):
        report_day(done, events_by_day[done - 1])
    return max(reached, day)


def _day_of(scores: Path, spec: SimulationSpec) -> int:
    """Days that the flow has scored, from the end of the risk topic."""
    with contextlib.suppress(FileNotFoundError), scores.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        found = _AS_OF.findall(file.read())
        if found:
            return min(spec.days, (date.fromisoformat(found[-1].decode()) - spec.start).days)
    return 0


def _result(answers: Connection, process: BaseProcess, log: Path) -> Counts:
    try:
        answer = answers.recv()
    except EOFError:
        process.join(STOP_SECONDS)
        raise C360Error(f"the flow ended with exit code {process.exitcode}", f"see {log}") from None
    if isinstance(answer, C360Error):
        raise answer
    counts: Counts = answer
    process.join()
    return counts


def _stop(process: BaseProcess) -> None:
    """End the process if it still runs: asked first, then killed."""
    process.terminate()
    process.join(STOP_SECONDS)
    process.kill()
    process.join()


def _flow(settings: Settings, answer: Connection) -> None:
    """The flow's process: it answers with counts or with the error that ended it."""
    with (settings.log_dir / RUN_LOG).open("wb", buffering=0) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    from c360_stream import metrics
    from c360_stream.runtime.run import run

    try:
        if not run(settings):
            raise C360Error("the flow was stopped by a signal", "run the demo again")
        names = ("events_read", "events_accepted", "late_events", "duplicate_events")
        answer.send(Counts(*(int(metrics.total(f"c360_{name}_total")) for name in names)))
    except C360Error as error:
        answer.send(error)
