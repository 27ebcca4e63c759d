"""Recovery directories of a schedule: the newest one, an older copy that is put back, and one that is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from c360_stream.errors import StateError
from c360_stream.operators.topic_sink import OLDER
from tests.simulation.fate import Fate
from tests.simulation.model import Result

COPIED_SHARE = 0.3
PUT_BACK_SHARE = 0.5
LOST_SHARE = 0.12
REPUBLISHED_SHARE = 0.5
SPARED_CALLS = 60
"""So many do for opening every outbox: a run that dies before it does not say whether it would have been refused."""
NEW = "is new, but"


class Life(Protocol):
    """Runs the flow over a recovery directory; whether it came to the end of the input."""

    def __call__(self, recovery: Path, *, republish: bool = False) -> bool: ...


class Directories:
    """Which recovery directory a life gets, and what must become of it.

    Parameters
    ----------
    home
        Where the directories are.
    result
        What has been published and stored, and the story.
    faults
        Decides.
    """

    def __init__(self, home: Path, result: Result, faults: random.Random) -> None:
        self._home = home
        self._result = result
        self._faults = faults
        self._number = 0
        self._newest = self._new()
        self._older: Path | None = None
        self._blocks_before = 0  # in the tables when the older one was copied
        self._published_before = 0

    def live(self, life: Life, fate: Fate, *, resumes: bool) -> bool:
        """Live once, before that perhaps over a directory that is to be refused; whether the input came to its end."""
        ended = self._try_another(life, fate) if resumes else None
        return life(self._newest) if ended is None else ended

    def _try_another(self, life: Life, fate: Fate) -> bool | None:
        """Put an older one back, or lose it. None: it was refused, and the newest one is there again."""
        lost, republished = self._faults.random() < LOST_SHARE, self._faults.random() < REPUBLISHED_SHARE
        put_back, copied = self._faults.random() < PUT_BACK_SHARE, self._faults.random() < COPIED_SHARE
        ended = None
        if lost:
            ended = self._lose(life, republish=republished)
        elif self._older is not None and put_back:
            fate.spare(SPARED_CALLS)
            ended = self._put_back(life, self._older)
            self._older = None
        elif copied:
            self._copy()
        return ended

    def _copy(self) -> None:
        self._older = self._new()
        shutil.copytree(self._newest, self._older)
        self._blocks_before = len(self._result.tables.blocks)
        self._published_before = self._exact()
        self._result.story.append("the recovery directory is copied")

    def _put_back(self, life: Life, older: Path) -> bool | None:
        went_on = self._exact() > self._published_before
        stored = len(self._result.tables.blocks) > self._blocks_before
        ended = self._refused(partial(life, older), OLDER, "the older recovery directory")
        if ended is None:
            assert went_on, f"nothing had been published since the copy: {self._result.story}"
            return None
        # Had it not been right to take it, records would be lost: their numbers are taken. Tables tell rows by more.
        self._result.tables_repeat += stored
        self._newest = older
        return ended

    def _lose(self, life: Life, *, republish: bool) -> bool | None:
        new, published = self._new(), bool(self._result.topics.seen)
        stored = bool(self._result.tables.blocks)
        what = f"a new recovery directory{', to republish' if republish else ''}"
        ended = self._refused(partial(life, new, republish=republish), NEW, what)
        assert (ended is None) == (published and not republish), f"{what}: {self._result.story}"
        if ended is not None:
            self._result.tables_repeat += stored
            self._newest, self._older = new, None
        return ended

    def _refused(self, life: Callable[[], bool], why: str, what: str) -> bool | None:
        """Live over a directory; None if it is refused, which must leave all as it was."""
        topics, tables, story = self._result.topics, self._result.tables, self._result.story
        before = topics.store, len(topics.seen), len(tables.blocks)
        try:
            ended = life()
            story.append(f"{what} is taken")
        except StateError as refusal:
            if why not in refusal.what:
                raise
            ended, topics.store = None, before[0]
            story.append(f"{what} is refused")
        after = topics.store, len(topics.seen), len(tables.blocks)
        assert ended is not None or after == before, f"published by a run that is refused: {story}"
        return ended

    def _exact(self) -> int:
        """How many batches of outboxes have been published."""
        topics = self._result.topics
        return sum(
            b"/" in (record.key or b"")  # else it says who opened the outbox
            for (topic, _), records in topics.partitions.items()
            for record in records
            if topic == topics.markers
        )

    def _new(self) -> Path:
        self._number += 1
        return self._home / str(self._number)
