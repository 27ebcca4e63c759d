"""How far a simulation has come, on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINES_PER_RUN = 10


@contextlib.contextmanager
def day_progress(title: str, days: int) -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr: a bar on a terminal, else a line now and then.

    Yields the function to call with the days done and the events so far.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        every = max(1, days // LINES_PER_RUN)

        def report(day: int, events: int) -> None:
            if day % every == 0:
                click.echo(f"{title}: day {day:,} of {days:,}, {events:,} events", err=True)

        yield report
        return
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[events]:,} events"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=days, events=0)
        yield lambda day, events: bar.update(task, completed=day, events=events)
