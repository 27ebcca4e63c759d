-- Who is a customer now: an account that has left keeps its newest score.

CREATE TABLE IF NOT EXISTS departures
(
    account_id String,
    gone_at    DateTime64(3, 'UTC') COMMENT 'the midnight whose tick found that the account had cancelled since the one before'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, gone_at)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every time that an account has left, also if it came back; read with FINAL';

-- Those who left before this table was there: a cancellation makes outcomes known at the tick that found it. An account
-- that was scored then or later has come back. Repeating this changes nothing: rows of a key replace each other.
INSERT INTO departures
SELECT account_id, gone_at
FROM (SELECT account_id, max(known_at) AS gone_at FROM outcomes FINAL WHERE churned GROUP BY account_id) AS ended
INNER JOIN (SELECT account_id, max(as_of) AS scored_at FROM risk_scores GROUP BY account_id) AS scored USING account_id
WHERE gone_at > scored_at;

-- An account is scored at no midnight at which it is gone, and not again before the next midnight after it came back.
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
