-- What is known about each account: its features, its risk and what happened.
-- Rows are written at least once. Each table's ORDER BY is the key of a logical row, so that FINAL shows every row
-- once; the column named in ReplacingMergeTree(...) says which of several versions counts.

CREATE TABLE IF NOT EXISTS risk_scores
(
    score_id          String                           COMMENT 'deterministic: the same score has the same id in every run',
    account_id        String,
    as_of             DateTime64(3, 'UTC')             COMMENT 'only events before this time count',
    produced_at       DateTime64(3, 'UTC')             COMMENT 'processing clock (in a replay, event time) of the process that scored',
    risk              Float64                          COMMENT 'probability, 0..1, of cancelling within horizon_days after as_of',
    horizon_days      UInt16,
    tier              LowCardinality(String)           COMMENT 'low, medium, high, critical',
    previous_tier     LowCardinality(Nullable(String)) COMMENT 'tier of the last emitted score; null for the first',
    risk_change       Nullable(Float64)                COMMENT 'against the last emitted score; null for the first',
    mrr_cents         Nullable(Int64),
    mrr_at_risk_cents Nullable(Int64),
    reasons           Array(Tuple(feature String, value Nullable(Float64), contribution Float64, text String))
                                                       COMMENT 'strongest first; contribution is signed',
    model_name        LowCardinality(String),
    model_version     String,
    feature_version   UInt16,
    trigger           LowCardinality(String)           COMMENT 'tick: the daily score; event: events moved it within the day'
)
ENGINE = ReplacingMergeTree(produced_at)
PARTITION BY toYYYYMM(as_of)
ORDER BY (account_id, as_of, trigger)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Risk scores; read with FINAL';

-- The inner query reads two columns only: sorting whole rows, reasons and all, took thirty times as long.
-- At the same instant the tick's score counts, whichever was written first.
CREATE VIEW IF NOT EXISTS risk_latest AS
SELECT *
FROM risk_scores FINAL
WHERE (account_id, as_of) IN (SELECT account_id, max(as_of) FROM risk_scores GROUP BY account_id)
ORDER BY account_id, trigger DESC
LIMIT 1 BY account_id
COMMENT 'The newest score of each account';

CREATE TABLE IF NOT EXISTS account_features
(
    account_id                String,
    as_of                     DateTime64(3, 'UTC') COMMENT 'a midnight: only events before it count',
    avg_dau_7d                Nullable(Float64),
    avg_dau_14d               Nullable(Float64),
    avg_dau_30d               Nullable(Float64),
    usage_trend_ratio_7d_30d  Nullable(Float64),
    action_trend_ratio_7d_30d Nullable(Float64),
    active_days_30d           Nullable(Float64),
    features_adopted_30d      Nullable(Float64),
    seat_utilization_30d      Nullable(Float64),
    users_commenting_30d      Nullable(Float64),
    invites_sent_30d          Nullable(Float64),
    export_requests_30d       Nullable(Float64),
    support_tickets_30d       Nullable(Float64),
    urgent_tickets_30d        Nullable(Float64),
    avg_csat_30d              Nullable(Float64),
    nps_score                 Nullable(Float64),
    days_since_last_activity  Nullable(Float64),
    mrr_cents                 Nullable(Float64),
    downgraded_90d            Nullable(Float64),
    payment_failures_30d      Nullable(Float64),
    account_age_days          Nullable(Float64),
    days_to_renewal           Nullable(Float64)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(as_of)
ORDER BY (account_id, as_of)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Features of each account at each daily tick; null where the definition has no value';

CREATE TABLE IF NOT EXISTS outcomes
(
    account_id String,
    as_of      DateTime64(3, 'UTC'),
    churned    Bool                 COMMENT 'cancelled within the horizon after as_of',
    risk       Nullable(Float64)    COMMENT 'the risk that was stored at as_of',
    known_at   DateTime64(3, 'UTC') COMMENT 'event time at which the outcome was known; a correction has a later one'
)
ENGINE = ReplacingMergeTree(known_at)
PARTITION BY toYYYYMM(as_of)
ORDER BY (account_id, as_of)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What happened after each example''s as-of, once its label is known';
