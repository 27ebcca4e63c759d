"""`c360 doctor`: finds what is wrong with the set-up and how to fix it; changes nothing."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

import click

from c360_stream.cli.json_output import print_json
from c360_stream.cli.scrape import partitions_read, scrape, slow_line
from c360_stream.cli.setup.creation import topics
from c360_stream.connectors.factory import open_transport
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import C360Error
from c360_stream.logs.lines import printable
from c360_stream.models.declared import factory
from c360_stream.models.names import LIGHTGBM, trees_installed
from c360_stream.operators.late_share import LATE_SHARE_WARNED, sort_command
from c360_stream.runtime.log_order import look_at_heads
from c360_stream.settings import Settings
from c360_stream.settings.checks import security_warnings, unknown_settings
from c360_stream.settings.config_file import config_path, read_config
from c360_stream.settings.masking import mask_dsn

Status = Literal["problem", "warning", "ok"]


@dataclass(frozen=True)
class Check:
    """The subject of a check and its finding. `hint` is the fix of a problem; empty where there is none."""

    subject: str
    found: str
    hint: str = ""

    @property
    def status(self) -> Status:
        """Its severity."""
        return "problem" if self.hint else "ok"

    def __str__(self) -> str:
        """One line for a person."""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.status:9}{printable(f'{self.subject}: {self.found}{hint}')}"

    def record(self) -> dict[str, str | None]:
        """The same for `--json`."""
        return {"status": self.status, "subject": self.subject, "found": self.found, "hint": self.hint or None}


class Warned(Check):
    """A finding to consider: the set-up works as it is."""

    @property
    def status(self) -> Status:
        """Its severity."""
        return "warning"


def doctor(settings: Settings, *, as_json: bool = False) -> bool:
    """Print the verdict, the checks, problems first, and the settings, secrets masked.

    Returns whether no check found a problem.
    """
    found = sorted(checks(settings), key=lambda check: get_args(Status).index(check.status))
    counts = Counter(check.status for check in found)
    if as_json:
        print_json(
            {
                "ready": not counts["problem"],
                "problems": counts["problem"],
                "warnings": counts["warning"],
                "checks": [check.record() for check in found],
                "settings": settings.masked(),
            }
        )
    else:
        for line in (verdict(counts["problem"], counts["warning"]), "", *found, ""):
            click.echo(line)
        for name, value in settings.masked().items():
            click.echo(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return not counts["problem"]


def verdict(problems: int, warnings: int) -> str:
    """The result of all checks.

    >>> verdict(0, 0), verdict(0, 1), verdict(2, 1)
    ('ready: everything is in order', 'ready, 1 warning', '2 problems, 1 warning')
    """
    counted = [
        f"{number:,} {word}{'' if number == 1 else 's'}"
        for number, word in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    if problems:
        return ", ".join(counted)
    return ", ".join(["ready", *counted]) if counted else "ready: everything is in order"


def checks(settings: Settings) -> Iterator[Check]:
    """Run the checks, one after the other."""
    files = read_config().files
    none = f"no {config_path().absolute()}: environment and defaults"
    yield Check("configuration", f"read {', '.join(str(each.absolute()) for each in files)}" if files else none)
    yield from declared_models(settings)
    for name in unknown_settings():
        yield Check(f"setting {name}", "unknown, and without effect", "fix its name or remove it")
    for warning in security_warnings(settings):
        yield Warned("security", warning)
    yield _trees(settings)
    yield from _topics(settings)
    yield from _slow(settings)
    yield _tables(settings)


def declared_models(settings: Settings) -> Iterator[Check]:
    """Every declared model, imported and made."""
    for declaration in settings.declared_models:
        subject = f"[[model]] {declaration.name}"
        try:
            kind = type(factory(declaration)()).__name__
        except C360Error as error:
            yield _problem(subject, error, "fix the declaration or the function")
            continue
        part = "scores" if settings.champion == declaration.name else "contends"
        yield Check(subject, f"{part}: {declaration.make} makes a {kind}")


def _trees(settings: Settings) -> Check:
    """Whether LightGBM contends: it is optional, and on where it is installed."""
    subject = f"model {LIGHTGBM}"
    if not trees_installed():
        return Check(subject, "does not contend: it is not installed (pip install lightgbm)")
    if settings.champion == LIGHTGBM:
        return Check(subject, "scores")
    named = LIGHTGBM in settings.challengers
    return Check(subject, "contends" if named else "installed, does not contend: C360_CHALLENGERS leaves it out")


def _topics(settings: Settings) -> Iterator[Check]:
    if not settings.uses_kafka:
        yield from _log_directory(settings)
        return
    from c360_stream.connectors.kafka.outbox import OUTBOX_PARTITIONS

    subject = f"broker {settings.kafka_brokers}"
    try:
        with contextlib.closing(open_transport(settings)) as transport:
            wanted = dict.fromkeys([*topics(settings), settings.outbox_topic])
            counts = {topic: len(transport.partitions(topic)) for topic in wanted}
    except C360Error as error:
        yield _problem(subject, error, "check C360_KAFKA_BROKERS and that the broker runs")
        return
    yield Check(subject, "reachable")
    for topic, count in counts.items():
        needed = OUTBOX_PARTITIONS if topic == settings.outbox_topic else 1
        found = f"partitions: {count}" if count else "missing"
        hint = f"raise their number to {needed}" if count else "run c360 setup"
        yield Check(f"topic {topic}", found, hint if count < needed else "")
    inputs = {settings.input_topic(kind): counts[settings.input_topic(kind)] for kind in INPUT_KINDS}
    if len(set(inputs.values())) > 1:
        differing = ", ".join(f"{topic} {count}" for topic, count in inputs.items())
        yield Check("input topics", f"partition counts differ: {differing}", "give them one number of partitions")
    kept = [*inputs, settings.dead_letter_topic]
    yield from _retention(settings, [topic for topic in kept if counts[topic]])
    yield from _unread(settings, inputs)


def _retention(settings: Settings, there: Sequence[str]) -> Iterator[Check]:
    """Whether topics are kept for as long as they should."""
    from c360_stream.cli.doctor.retention import look_at_retention

    for note in look_at_retention(settings, there):
        kind = Warned if note.is_warning else Check
        yield kind(f"retention of {note.topic}", note.found)


def _unread(settings: Settings, inputs: Mapping[str, int]) -> Iterator[Check]:
    """Partitions that a running process does not read, since it reads those of its start."""
    for topic, read in partitions_read(settings.metrics_address).items():
        if read < inputs.get(topic, 0):
            found = f"the run at {settings.metrics_address} reads {read} partitions, the topic has {inputs[topic]}"
            yield Check(f"topic {topic}", found, "restart the run")


def _slow(settings: Settings) -> Iterator[Check]:
    """Processes that are there and do not answer."""
    for process in scrape(settings.metrics_address):
        if process.state == "slow":
            yield Warned(
                "run", f"{slow_line(process)}; /readyz shows what it waits for, and c360 top whether it recovers"
            )


def _log_directory(settings: Settings) -> Iterator[Check]:
    subject = f"log directory {settings.log_dir.absolute()}"
    if not settings.log_dir.is_dir():
        yield Check(subject, "missing", "run c360 setup, write one with c360 simulate, or set C360_LOG_DIR")
        return
    yield Check(subject, "there")
    inputs = dict.fromkeys((settings.input_topic(kind) for kind in INPUT_KINDS), 0)
    whole = True
    with contextlib.closing(open_transport(settings)) as transport:
        for topic in topics(settings):
            try:
                count = len(transport.partitions(topic))
            except C360Error as error:
                yield _problem(f"topic {topic}", error, "fix the folder")
                whole = False
                continue
            if topic in inputs:
                inputs[topic] = count
            if not (settings.log_dir / topic).is_dir():
                yield Check(f"topic {topic}", "missing", "run c360 setup")
            elif topic in inputs and not count:
                hint = (
                    f"make {settings.log_dir / topic / '0.jsonl'}, even empty: a run reads the partitions of its start"
                )
                yield Check(f"topic {topic}", "partitions: 0", hint)
            else:
                yield Check(f"topic {topic}", f"partitions: {count}")
    yield from _unread(settings, inputs)
    if whole and any(inputs.values()):
        yield _order(settings)


def _order(settings: Settings) -> Check:
    """Whether the beginning of every partition is in about the order of time."""
    try:
        with contextlib.closing(open_transport(settings)) as transport:
            heads = look_at_heads(settings, transport)
    except C360Error as error:
        return _problem("order of events", error, "fix the files")
    subject = "order of events"
    looked = f"of the first {heads.events:,} events of {len(heads.partitions)} partitions {heads.late:,} are late"
    if heads.is_past(settings.late_share_max):
        return Check(subject, heads.disorder(settings), f"a replay would refuse them: {sort_command(settings.log_dir)}")
    if heads.late > LATE_SHARE_WARNED * heads.events:
        return Warned(subject, f"{heads.disorder(settings)}; {sort_command(settings.log_dir)}")
    return Check(subject, f"{looked}: they are in about the order of time")


def _tables(settings: Settings) -> Check:
    place = mask_dsn(settings.dsn)
    subject = f"tables {place}"
    directory = Path(urlsplit(settings.dsn).path)
    # Opening an embedded database makes it, so look before.
    if settings.embedded_tables and not (directory / "metadata").is_dir():
        return Check(subject, "not there yet", "run c360 setup, which makes them")
    from c360_stream.cli.doctor.retention import letters_kept
    from c360_stream.connectors.clickhouse.connection import connect, lock_holder

    if settings.embedded_tables and lock_holder(directory) is not None:
        return Check(subject, "open in another process, such as a run; its schema was not checked")
    try:
        with contextlib.closing(connect(settings.dsn, patience_seconds=0)) as tables:
            version, expected = tables.schema_version(), tables.schema_expected()
            odd = letters_kept(settings, tables) if version == expected else ""
    except C360Error as error:
        return _problem(subject, error, "check C360_CLICKHOUSE_DSN and that the server runs")
    found = f"reachable, schema version {version}"
    if version < expected:
        return Check(subject, f"{found}, this release needs {expected}", "run c360 setup")
    if version > expected:
        return Check(subject, f"{found}, this release knows {expected}", "upgrade c360-stream")
    return Warned(subject, f"{found}; {odd}") if odd else Check(subject, found)


def _problem(subject: str, error: C360Error, hint: str) -> Check:
    return Check(subject, error.what, error.hint or hint)
