-- More about each score: what moved it, the risk over other horizons, what the account is worth, what kind it is.

ALTER TABLE risk_scores
    ADD COLUMN IF NOT EXISTS moved Array(Tuple(feature String, before Nullable(Float64), value Nullable(Float64), contribution Float64, text String))
        COMMENT 'what moved the risk since the last score, strongest first; contribution in log-odds, signed',
    ADD COLUMN IF NOT EXISTS risk_curve Array(Tuple(horizon_days UInt16, risk Float64))
        COMMENT 'risk over other horizons, ascending in days and in risk',
    ADD COLUMN IF NOT EXISTS segment LowCardinality(Nullable(String))
        COMMENT 'at_risk, dormant, new, shrinking, growing, loyal, steady; null in scores from before this column',
    ADD COLUMN IF NOT EXISTS expected_months Nullable(Float64)
        COMMENT 'months until the account is expected to cancel, within C360_VALUE_MONTHS_MAX',
    ADD COLUMN IF NOT EXISTS lifetime_value_cents Nullable(Int64)
        COMMENT 'margin expected of the account in those months, discounted';

ALTER TABLE drift_alarms
    COMMENT COLUMN kind 'feature_drift, score_drift, concept_drift, label_delay, performance, volume, freshness, completeness';

-- Anew, since a view keeps the columns that it was made with.
CREATE OR REPLACE VIEW risk_latest AS
SELECT *
FROM risk_scores FINAL
WHERE (account_id, as_of) IN (SELECT account_id, max(as_of) FROM risk_scores GROUP BY account_id)
ORDER BY account_id, trigger DESC
LIMIT 1 BY account_id
COMMENT 'The newest score of each account';
