-- Heartbeats that came through the whole flow: how fresh these tables are.

CREATE TABLE IF NOT EXISTS heartbeats
(
    topic       LowCardinality(String) COMMENT 'input topic that it was read from',
    partition   Int32                  COMMENT 'of the input topic',
    sent_at     DateTime64(3, 'UTC')   COMMENT 'clock of the process that sent it',
    produced_at DateTime64(3, 'UTC')   COMMENT 'processing clock (in a replay, event time) when all shards had passed it on'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, sent_at)
TTL toDateTime(sent_at) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Heartbeats; read with FINAL';
