"""Shared parts of the commands' declarations: `--debug`, examples below the help, common options.

Like each command's declaration it imports nothing but click: help and wrong use are answered before any library loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from c360_stream.settings import Settings

PROCESSES_MAX = 64
SCENARIO_HELP = (
    "steady, price_increase, outage, seasonal, silent_decline, monthly_rhythm, segments_differ, thresholds, low_rate,"
    " high_rate, early_hazard, large_stay, outreach or contracts: docs/operations.md tells what is true in each."
)
FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@dataclass
class Session:
    """State of one call of the command line; `--debug` sets `debug`, wherever it stands."""

    debug: bool = False
    ends_hard: bool = False
    """Whether a failure ends the process without an orderly exit."""


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).debug = True


def debug_option(*, hidden: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--debug`, which every command takes."""
    text = "Show an error's traceback."
    return click.option("--debug", is_flag=True, expose_value=False, callback=_set_debug, hidden=hidden, help=text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


def c360_command(*examples: str, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command with `--debug` and examples below its help; the first example names it."""
    epilog = "\n".join(["\b", "Example:", *(f"  {example}" for example in examples)])
    name = examples[0].split()[1]

    def decorate(function: Callable[..., None]) -> click.Command:
        return click.command(name, click.Command, epilog=epilog, **settings)(debug_option()(function))

    return decorate


def directory(*, exists: bool = False) -> click.Path:
    """The type of an option that names a directory."""
    return click.Path(file_okay=False, exists=exists, path_type=Path)


def log_dir_option(*, exists: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--log-dir`, for `read_settings`."""
    return click.option(
        "--log-dir",
        type=directory(exists=exists),
        metavar="DIR",
        help="Log directory to use, also if Kafka is configured.  [default: C360_LOG_DIR]",
    )


def read_settings(log_dir: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings; a log directory on the command line overrules Kafka."""
    from c360_stream.settings import load_settings

    if log_dir is not None:
        overrides.update(log_dir=log_dir, kafka_brokers="")
    return load_settings(**overrides)


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """A date (its UTC midnight) or an RFC 3339 time with an offset, in UTC: the callback of options that take one."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        if len(value) == len("2025-06-30"):
            found = found.replace(tzinfo=UTC)
        if found.tzinfo is None:
            raise click.BadParameter(f"{value!r} has no offset: write {value}Z for UTC.")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no date such as 2025-06-30 or 2025-06-30T00:00:00Z.") from None
