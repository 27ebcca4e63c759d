"""Model: how the risks are spread, and what drifts."""

from __future__ import annotations

from deploy.dashboards.panel import Field, Section, Threshold, sql
from deploy.dashboards.parts import lines, long, table, wide
from deploy.dashboards.sql import NEWEST_TICK, metric_series, ticks
from deploy.dashboards.vocabulary import SEVERITIES

_BANDS = (
    ("under 5%", "risk < 0.05", "dark-green"),
    ("5 to 10%", "risk >= 0.05 AND risk < 0.1", "green"),
    ("10 to 25%", "risk >= 0.1 AND risk < 0.25", "yellow"),
    ("25 to 50%", "risk >= 0.25 AND risk < 0.5", "orange"),
    ("50% and more", "risk >= 0.5", "red"),
)

SCORES = Section(
    "Scores",
    (
        lines(
            "How are the risks spread?",
            "Share of active accounts in each band of risk at each daily tick. A jump on one day with a mark of a"
            " champion change is the model; without, look at the drift of the features.",
            "short",
            wide(
                "SELECT as_of AS time,\n       "
                + ",\n       ".join(f"countIf({rule}) AS `{name}`" for name, rule, _ in _BANDS)
                + f"\nFROM {ticks('risk')}\nGROUP BY time ORDER BY time"
            ),
            *tuple(Field(name, name, colour=colour) for name, _, colour in _BANDS),
            stacked=True,
            as_share=True,
        ),
        lines(
            "Where are the middle and the top of the risks?",
            "Mean, median, 90th and 99th percentile of the risk at each daily tick. The mean should follow the"
            " share that leaves.",
            "percentunit",
            wide(f"""
SELECT as_of AS time, avg(risk) AS mean, quantileExact(0.5)(risk) AS median,
       quantileExact(0.9)(risk) AS p90, quantileExact(0.99)(risk) AS p99
FROM {ticks("risk")}
GROUP BY time ORDER BY time
"""),
            Field("mean", "mean"),
            Field("median", "median"),
            Field("p90", "90th percentile"),
            Field("p99", "99th percentile"),
            minimum=0,
        ),
    ),
)

_ALARM_KINDS = (
    *("feature_drift", "score_drift", "concept_drift", "label_delay"),
    *("performance", "volume", "freshness", "completeness"),
)

DRIFT = Section(
    "Drift",
    (
        lines(
            "Which features drift?",
            "Population stability index (PSI) of the last week against the four weeks that ended four weeks ago,"
            " the eight features with the largest one in the time range. Below 0.1 is the usual to and fro, above"
            " 0.25 a change:"
            " find out whether customers changed or an event went missing.",
            "none",
            long("""
SELECT as_of AS time, replaceOne(metric, 'psi:', '') AS series, value
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND metric IN (
    SELECT metric FROM model_metrics FINAL
    WHERE $__timeFilter(as_of) AND metric LIKE 'psi:%' AND metric != 'psi:risk'
    GROUP BY metric ORDER BY max(value) DESC, metric LIMIT 8
)
ORDER BY time, series
"""),
            thresholds=(Threshold(0.25, "red"),),
            minimum=0,
            decimals=2,
        ),
        lines(
            "Do the risks themselves drift?",
            "PSI of the risk, as for the features. A change of the champion moves it too, for five weeks or so.",
            "none",
            wide(metric_series("all", psi="psi:risk")),
            Field("psi", "PSI of the risk"),
            thresholds=(Threshold(0.25, "red"),),
            minimum=0,
            decimals=2,
            no_value="no learnt model for long enough",
            expects_data=False,
            no_data_reason="needs five weeks of scores of a learnt model",
        ),
        lines(
            "Do other accounts leave than expected?",
            "Cancellations of each week (Monday to Sunday), drawn at its end, beside how many the risks stored at"
            " its start let expect. No horizon has to pass for it. Far more than expected for weeks: concept"
            " drift, as after a change of prices; the alarms below name the accounts.",
            "none",
            wide(f"""
SELECT score.as_of + INTERVAL 7 DAY AS time, countIf(outcome.churned) AS happened, sum(score.due) AS expected
FROM (
    SELECT account_id, as_of, arrayFilter(point -> tupleElement(point, 1) = 7, risk_curve) AS week,
           if(empty(week), 1 - pow(1 - risk, 7 / horizon_days), tupleElement(week[1], 2)) AS due
    FROM risk_scores FINAL
    WHERE $__timeFilter(as_of) AND trigger = 'tick' AND toDayOfWeek(as_of) = 1
      AND as_of <= {NEWEST_TICK} - INTERVAL 7 DAY
) AS score
LEFT JOIN (
    SELECT account_id, as_of, churned FROM outcomes FINAL
    WHERE $__timeFilter(as_of) AND churned AND known_at <= as_of + INTERVAL 7 DAY
) AS outcome ON outcome.account_id = score.account_id AND outcome.as_of = score.as_of
GROUP BY time ORDER BY time
"""),
            Field("happened", "cancelled", colour="red"),
            Field("expected", "expected", colour="blue", dashed=True),
            minimum=0,
        ),
        lines(
            "Which alarms are raised?",
            "Alarms per week, by kind.",
            "none",
            wide(
                "SELECT toDateTime(toStartOfWeek(as_of, 1), 'UTC') AS time,\n       "
                + ",\n       ".join(f"countIf(kind = '{kind}') AS {kind}" for kind in _ALARM_KINDS)
                + "\nFROM drift_alarms FINAL\nWHERE $__timeFilter(as_of)\nGROUP BY time ORDER BY time"
            ),
            *tuple(Field(kind, kind.replace("_", " ")) for kind in _ALARM_KINDS),
            stacked=True,
            bars=True,
            minimum=0,
            no_value="no alarms",
            expects_data=False,
            no_data_reason="a steady company raises none",
        ),
        table(
            "What was seen, and what was done?",
            "The alarms of the time range, the newest first. The action is what the system did by itself and"
            " what it asks for.",
            "none",
            sql("""
SELECT as_of AS time, kind, severity, subject, detail, action
FROM drift_alarms FINAL WHERE $__timeFilter(as_of) ORDER BY time DESC, kind, subject LIMIT 100
"""),
            Field("time", "as of", "dateTimeAsIso", width=160),
            Field("kind", "kind", width=115),
            Field("severity", "severity", width=80, words=SEVERITIES),
            Field("subject", "subject", width=170),
            Field("detail", "what was seen"),
            Field("action", "what was done or is asked for"),
            width=24,
            no_value="no alarms",
            expects_data=False,
            no_data_reason="a steady company raises none",
        ),
    ),
)
