"""Parts that several SQL queries share.

Tables are read with FINAL: each logical row counts once. Only where a repeated row changes nothing, as under max(),
and the whole table is looked at, FINAL would cost much for nothing.
"""

from __future__ import annotations

NEWEST_TICK = "(SELECT max(as_of) FROM risk_scores WHERE trigger = 'tick' AND as_of <= $__toTime)"
"""The last daily tick of the time range: whatever is newer, or equal, is about accounts that are active."""

AT_RISK = "tier IN ('high', 'critical')"

MATURED = "(SELECT max(as_of) FROM outcomes FINAL WHERE NOT churned AND known_at <= $__toTime)"
"""The last as-of whose outcomes are all known.

A cancellation is known when it happens, a stay only at the end of the horizon: later as-ofs have churned accounts only.
"""


def current(*columns: str) -> str:
    """Subquery with the newest score of each active account at the end of the time range.

    What the view `risk_active` is now, but it can look back. An active account has a score at the newest tick or, while
    that is being written, at the one before.
    """
    return f"""(
    SELECT {", ".join(dict.fromkeys(("account_id", "as_of", "trigger", *columns)))}
    FROM risk_scores FINAL
    LEFT JOIN (
        SELECT account_id AS departed, max(gone_at) AS last_gone_at FROM departures
        WHERE gone_at <= $__toTime GROUP BY account_id
    ) AS departures ON departed = account_id
    WHERE as_of >= {NEWEST_TICK} - INTERVAL 1 DAY AND as_of <= $__toTime AND as_of > last_gone_at
    ORDER BY account_id, as_of DESC, trigger DESC
    LIMIT 1 BY account_id
)"""


def ticks(*columns: str) -> str:
    """Subquery with the daily score of each account and day of the time range."""
    return f"""(
    SELECT {", ".join(dict.fromkeys(("account_id", "as_of", *columns)))}
    FROM risk_scores FINAL
    WHERE $__timeFilter(as_of) AND trigger = 'tick'
)"""


_Z_95 = 1.96


def wilson(share: str, number: str, sign: str) -> str:
    """Bound of the 95% confidence interval of a share (Wilson): the lower one for `-`, the upper one for `+`."""
    square = _Z_95 * _Z_95
    margin = f"{_Z_95} * sqrt({share} * (1 - {share}) / {number} + {square / 4:.4f} / {number} / {number})"
    return f"({share} + {square / 2:.4f} / {number} {sign} {margin}) / (1 + {square:.4f} / {number})"


CHAMPION_CHANGES = """
SELECT as_of AS time, concat(model_name, ' scores now') AS title, concat('before: ', before) AS text, 'model' AS tags
FROM (
    SELECT as_of, model_name, lagInFrame(model_name) OVER (ORDER BY as_of) AS before
    FROM (SELECT as_of, any(model_name) AS model_name FROM risk_scores WHERE trigger = 'tick' GROUP BY as_of)
)
WHERE $__timeFilter(as_of) AND before != '' AND before != model_name
ORDER BY time
"""
"""Marks where another model took over: steps of the risks on that day are the model's."""


def metric_series(segment: str, **columns: str) -> str:
    """Query of metrics of a segment, a column each, by the tick at which they became known."""
    chosen = ",\n       ".join(f"anyIf(value, metric = '{metric}') AS {name}" for name, metric in columns.items())
    metrics = ", ".join(f"'{metric}'" for metric in columns.values())
    return f"""
SELECT as_of AS time,
       {chosen}
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND segment = '{segment}' AND metric IN ({metrics})
GROUP BY time ORDER BY time
"""
