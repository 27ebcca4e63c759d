"""Reading that waits: for those who want the next records, and can do nothing else until they come."""

from __future__ import annotations

import time

from c360_stream.connectors.ports import RawBatch, RecordReader

LOOK_SECONDS = 0.001
"""A reader without records returns at once."""


def read_within(reader: RecordReader, records_max: int, seconds_max: float) -> RawBatch:
    """As `RecordReader.read`, but wait up to `seconds_max` for a record while the partition's end is not reached.

    An empty batch means that the partition is at its end, or else that nothing came in time: see `at_end`.
    """
    deadline = time.monotonic() + seconds_max
    while True:
        batch = reader.read(records_max)
        if batch.values or seconds_max <= 0 or reader.at_end or time.monotonic() >= deadline:
            return batch
        time.sleep(LOOK_SECONDS)
