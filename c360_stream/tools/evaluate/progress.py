"""Progress of the worlds, on stderr: one bar each on a terminal, else a line for each step begun."""

from __future__ import annotations

from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Board:
    """Shows the progress of several worlds, by their titles. Use it in a `with`.

    Parameters
    ----------
    worlds
        How many there will be.
    """

    def __init__(self, worlds: int) -> None:
        console = Console(stderr=True, highlight=False)
        self._worlds = worlds
        self._done = 0
        self._steps: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[step]}", markup=False),
        )
        self._bars = Progress(*columns, TimeElapsedColumn(), console=console) if console.is_terminal else None

    def __enter__(self) -> Board:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def report(self, title: str, step: str, done: int, total: int) -> None:
        """Show the step that a world is in, its days done and its days in total; 0 where unknown."""
        if self._bars:
            if title not in self._tasks:
                self._tasks[title] = self._bars.add_task(title, total=None, step=step)
            self._bars.update(self._tasks[title], completed=done, total=total or None, step=step)
        elif self._steps.get(title) != step:
            click.echo(f"{title}: {step}", err=True)
        self._steps[title] = step

    def finished(self, title: str) -> None:
        """Show that a world is done."""
        self._done += 1
        self.report(title, f"done, {self._done} of {self._worlds}", 1, 1)
