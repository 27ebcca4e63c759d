-- How the contributions of a score's reasons were found: not every model is a sum of parts.

ALTER TABLE risk_scores
    ADD COLUMN IF NOT EXISTS explained_by LowCardinality(String) DEFAULT 'contributions'
        COMMENT 'contributions: parts that the model adds up; occlusion: what changes when a group of features is replaced by its average';

-- Anew, since a view keeps the columns that it was made with.
CREATE OR REPLACE VIEW risk_latest AS
SELECT newest.*, CAST(newest.as_of > coalesce(departed.gone_at, toDateTime64(0, 3, 'UTC')) AS Bool) AS active
FROM
(
    SELECT *
    FROM risk_scores FINAL
    WHERE (account_id, as_of) IN (SELECT account_id, max(as_of) FROM risk_scores GROUP BY account_id)
    ORDER BY account_id, trigger DESC
    LIMIT 1 BY account_id
) AS newest
LEFT JOIN (SELECT account_id, max(gone_at) AS gone_at FROM departures GROUP BY account_id) AS departed
    ON departed.account_id = newest.account_id
COMMENT 'The newest score of each account; active: it is a customer now';

CREATE OR REPLACE VIEW risk_active AS
SELECT * EXCEPT active
FROM risk_latest
WHERE active
COMMENT 'The newest score of each account that is a customer now';
