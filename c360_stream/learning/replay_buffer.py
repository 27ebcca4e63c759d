"""Replay buffer: the last examples whose labels matured, for models that are begun afresh."""

from __future__ import annotations

from collections import deque

from c360_stream.features.example_block import ExampleBlock
from c360_stream.state.fields import Kept, fields

DAYS_MIN = 28


class ReplayBuffer(Kept):
    """Keeps the newest days, as many as fit: 181 bytes per example.

    Of a day with very many examples those with the smallest hashes are kept, so that four weeks fit at any size.

    Parameters
    ----------
    examples_max
        At least this many of the newest examples are kept, and less than a day's or a hundredth more.
    """

    kept = fields(_days=deque[ExampleBlock], complete=bool)

    def __init__(self, examples_max: int) -> None:
        self._examples_max = examples_max
        self._days: deque[ExampleBlock] = deque()
        self._count = 0
        self.complete = True
        """Whether it holds all examples that it was ever given."""

    @property
    def newest_day(self) -> int:
        """As-of day of the newest examples."""
        return int(self._days[-1].as_of_day[-1])

    def __len__(self) -> int:
        return self._count

    def add(self, block: ExampleBlock) -> None:
        """Take a day's examples, in canonical order."""
        if not len(block):
            return
        sample = block.take(block.sampled_rows(max(self._examples_max // DAYS_MIN, 1)))
        self.complete = self.complete and len(sample) == len(block)
        # Days with few are kept together: each block is a few files of a snapshot.
        if self._days and len(self._days[-1]) < self._examples_max // 100:
            self._days[-1] = ExampleBlock.merged([self._days[-1], sample])
        else:
            self._days.append(sample)
        self._count += len(sample)
        while self._count - len(self._days[0]) >= self._examples_max:
            self._count -= len(self._days.popleft())
            self.complete = False

    def examples(self, most: int | None = None) -> ExampleBlock:
        """All of them, in canonical order, or as many of the newest as a buffer of `most` would have kept."""
        days, count = list(self._days), self._count
        while most is not None and days and count - len(days[0]) >= most:
            count -= len(days.pop(0))
        return ExampleBlock.merged(days)

    def restored(self) -> None:
        """Count what is there."""
        self._count = sum(map(len, self._days))
