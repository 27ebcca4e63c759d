"""Can the risks be trusted? For the owners of the model; ClickHouse, and Prometheus for what runs now."""

from __future__ import annotations

from deploy.dashboards.model_drift import DRIFT, SCORES
from deploy.dashboards.model_quality import CALIBRATION, QUALITY, with_interval
from deploy.dashboards.panel import (
    Annotation,
    Dashboard,
    Field,
    Section,
    Threshold,
    Variable,
    promql,
    sql,
)
from deploy.dashboards.parts import lines, long, sql_stat, table, wide
from deploy.dashboards.sql import CHAMPION_CHANGES, MATURED, NEWEST_TICK, ticks
from deploy.dashboards.vocabulary import ESTIMATE, INTERVAL, KNOWN


def _newest(metric: str) -> str:
    """Newest value of a metric of all accounts at the end of the time range."""
    return f"""
SELECT argMax(value, as_of) AS newest FROM model_metrics FINAL
WHERE metric = '{metric}' AND segment = 'all' AND as_of <= $__toTime HAVING count() > 0
"""


_GLANCE = Section(
    "At a glance",
    (
        sql_stat(
            "Which model scores?",
            "The model of the newest daily tick: the one that outcomes prove best. prior-rule are rules, used"
            " until enough outcomes are known.",
            "string",
            f"SELECT any(model_name) AS model FROM risk_scores FINAL WHERE as_of = {NEWEST_TICK} AND trigger = 'tick'",
            text=True,
        ),
        sql_stat(
            "How well did it rank, by known outcomes?",
            f"ROC-AUC of the newest week whose outcomes are known: 0.5 is chance, 1 perfect. {KNOWN}",
            "none",
            _newest("roc_auc"),
            decimals=2,
            base_colour="red",
            thresholds=(Threshold(0.6, "yellow"), Threshold(0.7, "green")),
        ),
        sql_stat(
            "How well does it rank now, by estimate?",
            f"Estimated ROC-AUC. {ESTIMATE}",
            "none",
            _newest("estimated_roc_auc"),
            decimals=2,
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
            no_value="none",
        ),
        sql_stat(
            "Did as many leave as expected?",
            "Mean risk over the share that cancelled, newest known week: 1 is calibrated, 2 expected twice as many"
            f" as left. {KNOWN}",
            "none",
            _newest("calibration_ratio"),
            decimals=2,
            base_colour="red",
            thresholds=(Threshold(0.67, "green"), Threshold(1.5, "red")),
        ),
        sql_stat(
            "How long ago were the newest scores that can be judged?",
            "Days from the last as-of whose outcomes are all known to the newest tick: about the horizon. More:"
            " labels are late.",
            "d",
            f"SELECT dateDiff('day', {MATURED}, {NEWEST_TICK}) AS days",
        ),
        sql_stat(
            "How many alarms were there in a week?",
            "Drift and data-quality alarms of the last 7 days of the time range; the table under Drift shows what"
            " was seen and done.",
            "none",
            "SELECT count() AS alarms FROM drift_alarms FINAL WHERE as_of > $__toTime - INTERVAL 7 DAY AND as_of"
            " <= $__toTime",
            base_colour="green",
            thresholds=(Threshold(1, "yellow"), Threshold(5, "red")),
        ),
    ),
)

_VERSIONS = Section(
    "Versions, champion and challengers",
    (
        lines(
            "Who scored when?",
            "Scores of each daily tick by the model that gave them; the colour changes where the champion did.",
            "short",
            long(f"""
SELECT as_of AS time, model_name AS series, count() AS scores
FROM {ticks("model_name")}
GROUP BY time, series ORDER BY time, series
"""),
            stacked=True,
            minimum=0,
        ),
        lines(
            "Does a challenger do better?",
            "Log loss that each model would have saved an example against the one that scores, on the same"
            " outcomes, fading with a half-life of 90 days: above 0 it would have been better.",
            "none",
            long("""
SELECT as_of AS time, model_name AS series, value AS gain
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND segment = 'contest' AND metric = 'gain'
ORDER BY time, series
"""),
            thresholds=(Threshold(0, "green"),),
            base_colour="blue",
            decimals=3,
        ),
        table(
            "How does the contest stand?",
            "The newest week of the contest: log loss of each model, what it would have saved against the one that"
            " scores, and that in standard errors: 3 promotes it. The one that scores has a gain of 0 and no t.",
            "none",
            sql("""
SELECT model_name AS model, anyOrNullIf(value, metric = 'log_loss') AS log_loss,
       anyOrNullIf(value, metric = 'gain') AS gain, anyOrNullIf(value, metric = 'gain_t') AS t,
       max(examples) AS outcomes
FROM model_metrics FINAL
WHERE segment = 'contest'
  AND as_of = (SELECT max(as_of) FROM model_metrics WHERE segment = 'contest' AND as_of <= $__toTime)
GROUP BY model ORDER BY gain DESC, model
"""),
            Field("model", "model"),
            Field("log_loss", "log loss", decimals=4, width=95),
            Field("gain", "gain", decimals=4, width=95),
            Field("t", "in standard errors", decimals=1, width=140),
            Field("outcomes", "outcomes", "locale", 0, width=95),
        ),
        table(
            "When did the champion change?",
            "Each model that took over, and when; the newest first, whatever the time range. The first line from"
            " the bottom is the start.",
            "none",
            sql("""
SELECT as_of AS time, model_name AS model, before AS instead_of, model_version AS version
FROM (
    SELECT as_of, model_name, model_version, lagInFrame(model_name) OVER (ORDER BY as_of) AS before
    FROM (
        SELECT as_of, any(model_name) AS model_name, any(model_version) AS model_version
        FROM risk_scores WHERE trigger = 'tick' AND as_of <= $__toTime GROUP BY as_of
    )
)
WHERE before != model_name
ORDER BY time DESC LIMIT 20
"""),
            Field("time", "from", "dateTimeAsIso", width=160),
            Field("model", "model"),
            Field("instead_of", "instead of"),
            Field("version", "first version"),
        ),
        lines(
            "Is the model learning?",
            "Versions that the models learnt, a week: one a day with new outcomes. None: no outcomes arrive, or"
            " the champion is a rule.",
            "none",
            wide("""
SELECT toDateTime(toStartOfWeek(as_of, 1), 'UTC') AS time, count() AS versions
FROM model_versions FINAL WHERE $__timeFilter(as_of)
GROUP BY time ORDER BY time
"""),
            Field("versions", "versions"),
            bars=True,
            minimum=0,
        ),
        table(
            "Which version do the processes use now?",
            "The model that the running processes score with.",
            "none",
            promql("max by (model_name, model_version, feature_version) (c360_model_info)", instant=True),
            Field("model_name", "model"),
            Field("model_version", "version"),
            Field("feature_version", "features", width=85),
            Field("Value", "in use", decimals=0, width=80),
        ),
    ),
)

_OUTCOMES = Section(
    "Outcomes",
    (
        lines(
            "Do outcomes mature?",
            "Outcomes by the day on which they became known. A stay is known a horizon later, a cancellation at"
            " once. No bars at the right end: labels have stopped coming, and learning with them.",
            "short",
            wide("""
SELECT toDateTime(toStartOfDay(known_at), 'UTC') AS time, countIf(churned) AS cancelled, countIf(NOT churned) AS stayed
FROM outcomes FINAL WHERE $__timeFilter(known_at)
GROUP BY time ORDER BY time
"""),
            Field("cancelled", "cancelled", colour="red"),
            Field("stayed", "stayed", colour="green"),
            width=8,
            stacked=True,
            bars=True,
            minimum=0,
        ),
        lines(
            "What share leaves?",
            "Share that cancelled within the horizon, by week as it became known, with its 95% interval, of the"
            f" segment chosen above. {KNOWN}",
            "percentunit",
            wide(with_interval("$segment", "base_rate")),
            Field("measured", "measured share", colour="blue"),
            *INTERVAL,
            width=8,
            minimum=0,
        ),
        lines(
            "How many outcomes are waited for?",
            "Examples whose label is not yet known, from the running processes.",
            "short",
            promql("c360:outcomes_pending:sum", "pending"),
            width=8,
            minimum=0,
        ),
        lines(
            "How does each model do in the running processes?",
            "Prequential figures as the processes have them, each model of its own newest known week: the alerts"
            " look at these.",
            "none",
            promql("c360:model_auc:max", "{{model_name}} ROC-AUC"),
            promql("max by (model_name) (c360_model_log_loss)", "{{model_name}} log loss"),
            promql("c360:model_calibration_ratio:max", "{{model_name}} calibration"),
            width=24,
            decimals=2,
        ),
    ),
)

MODEL = Dashboard(
    uid="c360-model",
    title="c360: can the risks be trusted?",
    description="Quality by label maturity, calibration, drift, versions: for the owners of the model.",
    since="now-180d",
    refresh="5m",
    sections=(_GLANCE, QUALITY, CALIBRATION, SCORES, DRIFT, _VERSIONS, _OUTCOMES),
    variables=(
        Variable(
            "segment",
            "Accounts",
            "Of the measured figures: all, or a third of the MRR",
            ("all", "mrr_low", "mrr_mid", "mrr_high"),
        ),
    ),
    annotations=(
        Annotation(
            "Drift alarms",
            "orange",
            sql("""
SELECT as_of AS time, concat(kind, ': ', subject) AS title, concat(detail, ' ', action) AS text, severity AS tags
FROM drift_alarms FINAL WHERE $__timeFilter(as_of) ORDER BY time
"""),
        ),
        Annotation(
            "Champion changes",
            "purple",
            sql(CHAMPION_CHANGES),
        ),
    ),
)
