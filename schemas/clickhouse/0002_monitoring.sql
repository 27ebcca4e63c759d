-- What the system knows about itself: alarms, the model's quality and its versions.

CREATE TABLE IF NOT EXISTS drift_alarms
(
    alarm_id  String                 COMMENT 'deterministic: the same alarm has the same id in every run',
    raised_at DateTime64(3, 'UTC')   COMMENT 'processing clock (in a replay, event time) of the process that raised it',
    as_of     DateTime64(3, 'UTC')   COMMENT 'event time at which the condition held',
    kind      LowCardinality(String) COMMENT 'feature_drift, score_drift, concept_drift, label_delay, performance, volume, freshness, completeness',
    subject   LowCardinality(String) COMMENT 'the feature, topic or model',
    method    LowCardinality(String),
    statistic Nullable(Float64),
    threshold Nullable(Float64),
    severity  LowCardinality(String) COMMENT 'warning, critical',
    action    String                 COMMENT 'what the system did or asks for',
    detail    String                 COMMENT 'a sentence'
)
ENGINE = ReplacingMergeTree(raised_at)
ORDER BY (as_of, alarm_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Drift and data-quality alarms; read with FINAL';

CREATE TABLE IF NOT EXISTS model_metrics
(
    as_of         DateTime64(3, 'UTC'),
    model_name    LowCardinality(String),
    model_version String,
    segment       LowCardinality(String) COMMENT 'all, or the share of accounts that was measured',
    metric        LowCardinality(String) COMMENT 'such as auc, log_loss',
    value         Nullable(Float64)      COMMENT 'null where the examples do not define the metric',
    examples      UInt64                 COMMENT 'how many outcomes it rests on'
)
ENGINE = ReplacingMergeTree
ORDER BY (model_name, metric, segment, as_of, model_version)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Prequential quality of the models; read with FINAL';

CREATE TABLE IF NOT EXISTS model_versions
(
    model_name      LowCardinality(String),
    model_version   String,
    as_of           DateTime64(3, 'UTC') COMMENT 'the tick at which the version was learnt',
    feature_version UInt16,
    parameters      String               COMMENT 'JSON: what is needed to score with this version again'
                                         CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(as_of)
ORDER BY (model_name, model_version)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every version of every model that scored; read with FINAL';
