-- Input that was refused: one row a record, with the reason and the record as it came.

CREATE TABLE IF NOT EXISTS dead_letters
(
    topic             LowCardinality(String),
    partition         Int32,
    offset            Int64                  COMMENT 'Kafka''s offset, or the line''s number from 0 in a log directory',
    stage             LowCardinality(String) COMMENT 'the step that refused it',
    exception_class   LowCardinality(String),
    exception_message String,
    key               Nullable(String)       COMMENT 'raw bytes, not necessarily UTF-8: read with hex(key)',
    value             Nullable(String)       COMMENT 'raw bytes, not necessarily UTF-8: read with hex(value); null in a tombstone'
                                             CODEC(ZSTD),
    headers           Map(String, String)    COMMENT 'the values are raw bytes',
    refused_at        DateTime64(3, 'UTC')   COMMENT 'processing clock (in a replay, event time) of the process that refused it'
)
ENGINE = ReplacingMergeTree(refused_at)
ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Refused input; read with FINAL';
