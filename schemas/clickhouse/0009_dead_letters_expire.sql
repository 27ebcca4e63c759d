-- Refused input is what customers' systems sent, unread: it goes after a while. `refused_at` is event time in a replay,
-- so what counts is the clock of the database. `c360 setup` sets the days to C360_DEAD_LETTER_RETENTION_DAYS.

ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS stored_at DateTime64(3, 'UTC') DEFAULT now64(3)
        COMMENT 'clock of the database when the row was stored; of rows from before this column, when it was added';

-- Written into the rows that are there: a default would be computed anew whenever they are read.
ALTER TABLE dead_letters MATERIALIZE COLUMN stored_at;

-- What was refused for its time stays: `c360 verify` has to know what the flow decided.
ALTER TABLE dead_letters MODIFY TTL toDateTime(stored_at) + INTERVAL 30 DAY
    DELETE WHERE exception_message NOT LIKE 'occurred_at: %';
