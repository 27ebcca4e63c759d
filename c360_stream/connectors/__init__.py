"""Sources and sinks: log directory, Kafka, ClickHouse."""
