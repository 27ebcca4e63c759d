"""`SharedIntake`: alignment, pace and held dead letters that the input partitions of a process share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from c360_stream.logs.pace import Pace
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.rest import Rest
from c360_stream.operators.run_context import RunContext
from c360_stream.state.outbox import PULSE, PULSE_SECONDS, Pulse

DEAD_LETTER_BYTES_MAX = 128 * 1024 * 1024
"""Of dead letters that a process reads between two snapshots: with a recovery store they wait in memory until the
second one vouches for them. A partition that has some is not read on then, however many are refused."""


class HeldDeadLetters:
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


@dataclass
class SharedIntake:
    """Whose turn it is to read, where to wait for input, how much is held back, and when to send pulses."""

    alignment: ReadAlignment
    run: RunContext
    rest: Rest = field(default_factory=lambda: Rest(None))
    dead_letters: HeldDeadLetters = field(default_factory=lambda: HeldDeadLetters(math.inf))
    pulses: Pace = field(default_factory=lambda: Pace(PULSE_SECONDS))

    def pulse(self) -> list[Pulse]:
        """A pulse if one is due, which is also when the log has its sums."""
        if not self.pulses.due():
            return []
        self.run.log_sums()
        return [PULSE]
