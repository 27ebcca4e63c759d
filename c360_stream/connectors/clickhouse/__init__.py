"""The tables: a ClickHouse server, or chDB in this process."""
