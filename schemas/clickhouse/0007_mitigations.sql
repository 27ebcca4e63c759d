-- The number of the migration that comes with mitigations; until it is here, the view as 0004 made it.

CREATE OR REPLACE VIEW risk_latest AS
SELECT *
FROM risk_scores FINAL
WHERE (account_id, as_of) IN (SELECT account_id, max(as_of) FROM risk_scores GROUP BY account_id)
ORDER BY account_id, trigger DESC
LIMIT 1 BY account_id
COMMENT 'The newest score of each account';
