"""Which transport the settings ask for."""

from __future__ import annotations

from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import Transport
from c360_stream.settings import Settings


def open_transport(settings: Settings, outages: Outages | None = None) -> Transport:
    """Open Kafka, if brokers are set, else the log directory.

    Parameters
    ----------
    settings
        Settings.
    outages
        Of all clients that log an outage as one. None: this transport's alone.

    Raises
    ------
    ConfigurationError
        If Kafka's client refuses the settings. Reading a log directory that does not exist raises it too.
    """
    if settings.uses_kafka:
        from c360_stream.connectors.kafka.transport import KafkaTransport  # 0.1 s that a log directory need not wait

        return KafkaTransport(settings, outages=outages)
    return LogDirTransport(settings.log_dir)
