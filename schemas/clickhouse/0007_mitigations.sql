-- What speaks against a score's risk has a column of its own; reasons raise the risk from here on.

ALTER TABLE risk_scores
    ADD COLUMN IF NOT EXISTS mitigations Array(Tuple(feature String, value Nullable(Float64), contribution Float64, text String))
        COMMENT 'what lowers the risk, strongest first; contribution of the whole topic in log-odds, signed; empty in scores from before this column',
    COMMENT COLUMN reasons 'what raises the risk, strongest first; contribution of the whole topic in log-odds';

-- Anew, since a view keeps the columns that it was made with.
CREATE OR REPLACE VIEW risk_latest AS
SELECT *
FROM risk_scores FINAL
WHERE (account_id, as_of) IN (SELECT account_id, max(as_of) FROM risk_scores GROUP BY account_id)
ORDER BY account_id, trigger DESC
LIMIT 1 BY account_id
COMMENT 'The newest score of each account';
