-- What became of the accounts that somebody contacted, and of others.

CREATE TABLE IF NOT EXISTS interventions
(
    as_of             DateTime64(3, 'UTC')   COMMENT 'the Sunday that ends the week of as-ofs; the row is known a horizon later',
    contacted         Bool                   COMMENT 'contacted between its as-of and its next one, for the first time in its horizon',
    playbook          LowCardinality(String) COMMENT 'of that contact; unnamed: it had none; other: not among the 32 most frequent of the week; empty: not contacted',
    tier              LowCardinality(String) COMMENT 'low, medium, high, critical: of the risk that was stored at the as-of, by the thresholds alone',
    accounts          UInt64                 COMMENT 'examples; an account is one of either kind at most once a horizon',
    churned           UInt64                 COMMENT 'cancelled within the horizon after the as-of, and after the contact',
    mrr_cents         Int64                  COMMENT 'at the as-of; 0 where unknown',
    mrr_churned_cents Int64                  COMMENT 'of those that churned',
    mean_risk         Float64                COMMENT 'the share that the stored risks expected to churn',
    churn_rate        Float64,
    churn_rate_low    Float64                COMMENT '95% confidence interval (Wilson)',
    churn_rate_high   Float64
)
ENGINE = ReplacingMergeTree
ORDER BY (as_of, contacted, playbook, tier)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Outcomes of contacted and other accounts by playbook and tier, a week of as-ofs each; read with FINAL';
