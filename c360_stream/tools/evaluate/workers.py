"""Worlds one after the other, or spread over processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from c360_stream.errors import C360Error
from c360_stream.tools.evaluate.progress import Board
from c360_stream.tools.evaluate.sweep import Sweep
from c360_stream.tools.evaluate.world import World
from c360_stream.tools.evaluate.world_replay import evaluate_world

Figures = dict[str, Any]
STOP_SECONDS = 5.0


def evaluate_worlds(
    worlds: Sequence[World], sweep: Sweep, scratch: Path, processes: int, board: Board
) -> list[Figures]:
    """Figures of every world, in order.

    Raises
    ------
    C360Error
        If one of them fails.
    """
    if processes == 1 or len(worlds) == 1:
        found = []
        for world in worlds:
            title = world.title
            found.append(evaluate_world(world, sweep, scratch, lambda *news, title=title: board.report(title, *news)))
            board.finished(title)
        return found
    return _Pool(worlds, sweep, scratch, board).run(processes)


class _Pool:
    """One process per world, so that each begins with fresh memory; at most so many at a time."""

    def __init__(self, worlds: Sequence[World], sweep: Sweep, scratch: Path, board: Board) -> None:
        self._worlds, self._sweep, self._scratch, self._board = worlds, sweep, scratch, board
        self._context = multiprocessing.get_context("spawn")
        self._active: dict[Connection, tuple[int, BaseProcess]] = {}
        self._found: dict[int, Figures] = {}

    def run(self, processes: int) -> list[Figures]:
        waiting = deque(range(len(self._worlds)))
        try:
            while waiting or self._active:
                while waiting and len(self._active) < processes:
                    self._start(waiting.popleft())
                for connection in wait(list(self._active)):
                    assert isinstance(connection, Connection)  # noqa: S101 - only such were given
                    self._receive(connection)
        finally:
            for _, process in self._active.values():
                _stop(process)
        return [self._found[number] for number in range(len(self._worlds))]

    def _start(self, number: int) -> None:
        news, sender = self._context.Pipe(duplex=False)
        arguments = (self._worlds[number], self._sweep, self._scratch, sender)
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        sender.close()
        self._active[news] = (number, process)

    def _receive(self, connection: Connection) -> None:
        number, process = self._active[connection]
        title = self._worlds[number].title
        try:
            news = connection.recv()
        except EOFError:
            process.join(STOP_SECONDS)
            raise C360Error(
                f"{title}: its process ended with exit code {process.exitcode}",
                "use fewer --processes if memory ran out",
            ) from None
        if isinstance(news, C360Error):
            raise news
        if isinstance(news, tuple):
            self._board.report(title, *news)
            return
        self._found[number] = news
        del self._active[connection]
        connection.close()
        process.join()
        self._board.finished(title)


def _stop(process: BaseProcess) -> None:
    """End a process that still runs: asked first, then killed."""
    process.terminate()
    process.join(STOP_SECONDS)
    process.kill()
    process.join()


def _work(world: World, sweep: Sweep, scratch: Path, sender: Connection) -> None:
    """A process's work: it sends its progress, then the figures or the error that ended it."""
    try:
        sender.send(evaluate_world(world, sweep, scratch, lambda *news: sender.send(news)))
    except C360Error as error:
        sender.send(error)
    except KeyboardInterrupt:  # the parent gets it too, and cleans up
        return
    except Exception as error:
        what = f"{world.title}: internal error: {type(error).__name__}: {error}"
        sender.send(C360Error(what, "see where: run it with --processes 1 --debug"))
