"""A process that publishes batches as a sink does, and may kill itself at any moment.

Arguments: brokers, topic prefix, a file for the sealed sequence, batches to publish in all, records of a batch,
seconds after which it kills itself (0: never).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord, TopicRecord
from c360_stream.settings import Settings


def batch(settings: Settings, sequence: int, records: int) -> list[TopicRecord]:
    """Records whose values say which they are, alternately for two topics."""
    topics = (settings.risk_topic, settings.alarm_topic)
    return [(topics[n % 2], OutRecord(f"acct-{n % 11}", b"%d-%d" % (sequence, n))) for n in range(records)]


def main(brokers: str, prefix: str, sealed: Path, batches: int, records: int, kill_after_seconds: float) -> None:
    """Publish the sealed batch again, and then the ones after it; each is sealed before it is published."""
    settings = Settings(kafka_brokers=brokers, topic_prefix=prefix, outage_seconds_max=120)
    transport = KafkaTransport(settings)
    if kill_after_seconds:
        threading.Timer(kill_after_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    outbox = transport.outbox("0")
    for sequence in range(int(sealed.read_text()), batches + 1):
        beside = sealed.with_suffix(".new")
        beside.write_text(str(sequence))
        beside.replace(sealed)
        outbox.publish("store", sequence, batch(settings, sequence, records))
    outbox.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
