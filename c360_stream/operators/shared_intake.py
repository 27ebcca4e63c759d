"""What the input partitions of a process share."""

from __future__ import annotations

LETTERS_BYTES_MAX = 128 * 1024 * 1024
"""Of dead letters that a process reads between two snapshots: with a recovery store they wait in memory until the
second one vouches for them. A partition that has some is not read on then, however many are refused."""


class LettersHeld:
    """Dead letters that wait in this process for the next snapshot, in bytes by partition."""

    def __init__(self, bytes_max: float) -> None:
        self._bytes_max = bytes_max
        self._bytes: dict[str, int] = {}

    def add(self, partition: str, size: int) -> None:
        """Take more."""
        self._bytes[partition] = self._bytes.get(partition, 0) + size

    def kept(self, partition: str) -> None:
        """Forget those of a partition: a snapshot has them."""
        self._bytes.pop(partition, None)

    def must_wait(self, partition: str) -> bool:
        """Whether there are too many, some of this partition."""
        return partition in self._bytes and sum(self._bytes.values()) > self._bytes_max
