"""Which transport the settings ask for."""

from __future__ import annotations

from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.connectors.ports import Transport
from c360_stream.settings import Settings


def open_transport(settings: Settings) -> Transport:
    """Open Kafka, if brokers are set, else the log directory.

    Raises
    ------
    ConfigurationError
        If Kafka's client refuses the settings. Reading a log directory that does not exist raises it too.
    """
    if settings.uses_kafka:
        from c360_stream.connectors.kafka.transport import KafkaTransport  # 0.1 s that a log directory need not wait

        return KafkaTransport(settings)
    return LogDirTransport(settings.log_dir)
