"""`c360 setup`: creates the topics and the tables; safe to repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from c360_stream.connectors.clickhouse.dead_letter_retention import letter_retention_days, set_letter_retention
from c360_stream.connectors.logdir import named_errors
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from c360_stream.settings.masking import mask_dsn
from c360_stream.state.private_files import make_private_directory

if TYPE_CHECKING:
    from c360_stream.connectors.clickhouse.store import TableStore


def topics(settings: Settings) -> list[str]:
    """Every topic of the flow: the inputs, then the outputs."""
    inputs = [settings.input_topic(kind) for kind in INPUT_KINDS]
    return [*inputs, *settings.output_topics]


def setup(settings: Settings) -> None:
    """Create what is missing, and list it on stdout.

    Raises
    ------
    TransportError, StateError
        If the broker, the directory or the database refused.
    """
    for line in _kafka_topics(settings) if settings.uses_kafka else _log_folders(settings):
        click.echo(f"topic {line}")

    from c360_stream.connectors.clickhouse.connection import connect

    place = mask_dsn(settings.dsn)
    with contextlib.closing(connect(settings.dsn)) as tables:
        for migration in tables.migrate():
            click.echo(f"tables {place}: applied {migration}")
        click.echo(f"tables {place}: schema version {tables.schema_version()}")
        click.echo(f"tables {place}: dead_letters {_keep_letters(tables, settings.dead_letter_retention_days)}")


def _keep_letters(tables: TableStore, days: int) -> str:
    """Set the retention of refused input; return it in words."""
    changed = set_letter_retention(tables, days)
    kept_days = letter_retention_days(tables)
    if kept_days is None:
        return "are kept by a rule of their own: it was left so"
    return f"{'are now' if changed else 'are'} kept {f'for {kept_days} days' if kept_days else 'for ever'}"


def _kafka_topics(settings: Settings) -> list[str]:
    from c360_stream.connectors.kafka.topics import setup_topics

    return setup_topics(settings)


def _log_folders(settings: Settings) -> Iterator[str]:
    """Make the folders of the log directory; one line per folder."""
    for topic in topics(settings):
        folder = settings.log_dir / topic
        known = folder.is_dir()
        with named_errors(folder):
            if topic in settings.output_topics:
                make_private_directory(folder, "topic folder")
            else:  # the producers of these events may run as any user
                folder.mkdir(parents=True, exist_ok=True)
        yield f"{topic}: {'exists' if known else 'created'}, {folder}"
