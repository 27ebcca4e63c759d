"""Windows, feature definitions and the account shard. Pure: no transport, no database."""
