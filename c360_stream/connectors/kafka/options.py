"""How librdkafka's consumers and producers are configured."""

from __future__ import annotations

from c360_stream.connectors.ports import VALUE_BYTES_MAX

MESSAGE_BYTES_MAX = 2 * VALUE_BYTES_MAX
"""Room for a dead letter: any value that a reader returns, and its headers."""
CONSUMER: dict[str, str | int | bool] = {
    "group.id": "c360-stream",  # librdkafka wants one; it is never joined
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "topic.metadata.propagation.max.ms": 5_000,  # how long it takes to learn that a topic is gone
    "fetch.wait.max.ms": 100,  # how long it takes to learn of the end of a partition; `TAILING` has another
    "queued.max.messages.kbytes": 4096,  # see `queue_options`
    "fetch.queue.backoff.ms": 10,  # the default of 1 s starves so small a queue
}
TAILING: dict[str, str | int | bool] = {
    "fetch.wait.max.ms": 500,  # records come at once all the same; to ask ten times a second took 0.05% of a core
}
QUEUES_BYTES_MAX = 128 * 1024 * 1024
"""Of the consumers of all input partitions together, before what a fetch brings beyond it."""
_QUEUE_BYTES_MIN = 256 * 1024
_QUEUE_BYTES_MAX = 4 * 1024 * 1024
_FETCH_BYTES_MAX = 1024 * 1024
PRODUCER: dict[str, str | int | bool] = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as the Java clients do, so that topics are partitioned alike
    "linger.ms": 5,  # scores between ticks wait for it; the 20 ms of before were two fifths of their latency
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "queue.buffering.max.kbytes": 65_536,
}


def queue_options(partitions: int) -> dict[str, str | int | bool]:
    """What a consumer may have in its queue, one of so many: their number costs memory only beyond a few hundred.

    A record that is larger than a fetch still comes, alone.

    >>> [queue_options(partitions)["queued.max.messages.kbytes"] for partitions in (12, 32, 128, 1_000)]
    [4096, 4096, 1024, 256]
    """
    size = min(_QUEUE_BYTES_MAX, max(_QUEUE_BYTES_MIN, QUEUES_BYTES_MAX // max(1, partitions)))
    return {
        "queued.max.messages.kbytes": size // 1024,
        "fetch.message.max.bytes": min(_FETCH_BYTES_MAX, size),
    }
