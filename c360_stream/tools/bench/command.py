"""`c360 bench`: runs benchmarks and shows their results."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from c360_stream.tools.bench.items import ITEMS, QUICK, Options
from c360_stream.tools.bench.result import Result


def bench(item: str, *, as_json: bool | None, **options: Any) -> None:
    """Run a benchmark or all quick ones, and print each result as it comes.

    Parameters
    ----------
    item
        A name of `ITEMS`, or "all".
    as_json
        Whether a result is one JSON object, or a line for reading; None: as is usual where stdout leads.
    options
        Of `Options`.

    Raises
    ------
    click.BadParameter
        If an item does not support an option's value.
    C360Error
        If a replay fails.
    """
    as_json = not sys.stdout.isatty() if as_json is None else as_json
    given = Options(**options)
    if not as_json:
        click.echo(f"{'':<22}{'value':>12}  {'floor':>12}  {'ratio':>8}")
    with _ended_by_sigterm(), _uncollected():
        for name in QUICK if item == "all" else (item,):
            for result in ITEMS[name](given):
                click.echo(result.to_json() if as_json else _shown(result))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave cycles alone, as `c360 run` does: looking for them took two thirds of a tick's time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the benchmark like an exception: runs that it has started end, folders and topics go."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _shown(result: Result) -> str:
    figures = f"{result.value:>12,.6g}  {result.floor:>12,.6g}  {result.value / result.floor:>8.3g}"
    parts = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in result.detail.items())
    return f"{result.name:<22}{figures}  {result.unit}; floor: {result.floor_is}{f' ({parts})' if parts else ''}"
