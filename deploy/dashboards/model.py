"""Can the risks be trusted? For whoever answers for the model; ClickHouse, and Prometheus for what runs now."""

from __future__ import annotations

from deploy.dashboards.panel import (
    Annotation,
    Dashboard,
    Field,
    Kind,
    Panel,
    Section,
    Shape,
    Threshold,
    Variable,
    promql,
    sql,
)
from deploy.dashboards.sql import CHAMPION_CHANGES, MATURED, NEWEST_TICK, ticks

_KNOWN = "Measured on stored scores once their outcomes are known, a horizon after they were given."
_ESTIMATE = (
    "An early estimate from the scores alone, no outcome in it: never compare it point by point with the measured"
    " figures."
)
SEVERITIES = (("warning", "orange"), ("critical", "red"))
_INTERVAL = (
    Field("low", "95% interval from", colour="gray", dashed=True),
    Field("high", "to", colour="gray", dashed=True),
)


def _stat(title: str, description: str, unit: str, query: str, **more: object) -> Panel:
    sized = {"width": 4, "height": 5, "base_colour": "blue", **more}
    return Panel(title, description, unit, Kind.STAT, (sql(query),), **sized)  # type: ignore[arg-type]


def _newest(metric: str) -> str:
    """Newest value of a metric of all accounts at the end of the time range."""
    return f"""
SELECT argMax(value, as_of) AS newest FROM model_metrics FINAL
WHERE metric = '{metric}' AND segment = 'all' AND as_of <= $__toTime HAVING count() > 0
"""


def _series(segment: str, **columns: str) -> str:
    """One column a metric of a segment, by the tick at which it became known."""
    chosen = ",\n       ".join(f"anyIf(value, metric = '{metric}') AS {name}" for name, metric in columns.items())
    metrics = ", ".join(f"'{metric}'" for metric in columns.values())
    return f"""
SELECT as_of AS time,
       {chosen}
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND segment = '{segment}' AND metric IN ({metrics})
GROUP BY time ORDER BY time
"""


def _with_interval(segment: str, metric: str) -> str:
    return _series(segment, measured=metric, low=f"{metric}_low", high=f"{metric}_high")


def _line(title: str, description: str, unit: str, query: str, fields: tuple[Field, ...], **more: object) -> Panel:
    return Panel(title, description, unit, Kind.TIME_SERIES, (sql(query, Shape.WIDE),), fields, **more)  # type: ignore[arg-type]


def _by_segment(where: str) -> str:
    """A row a segment, of the newest week that is known."""
    return f"""
SELECT segment, anyIf(examples, metric = 'base_rate') AS outcomes, anyIf(value, metric = 'base_rate') AS cancelled,
       anyOrNullIf(value, metric = 'roc_auc') AS auc,
       anyOrNullIf(value, metric = 'roc_auc_low') AS auc_low, anyOrNullIf(value, metric = 'roc_auc_high') AS auc_high,
       anyOrNullIf(value, metric = 'calibration_ratio') AS calibration,
       anyOrNullIf(value, metric = 'calibration_ratio_low') AS calibration_low,
       anyOrNullIf(value, metric = 'calibration_ratio_high') AS calibration_high
FROM model_metrics FINAL
WHERE ({where}) AND as_of = (
    SELECT max(as_of) FROM model_metrics WHERE metric = 'base_rate' AND ({where}) AND as_of <= $__toTime
)
GROUP BY segment ORDER BY segment
"""


_SEGMENT_FIELDS = (
    Field("segment", "segment", width=130),
    Field("outcomes", "outcomes", "locale", 0, width=85),
    Field("cancelled", "cancelled", "percentunit", 1, width=90),
    Field("auc", "ROC-AUC", decimals=2, width=85),
    Field("auc_low", "from", decimals=2, width=65),
    Field("auc_high", "to", decimals=2, width=65),
    Field("calibration", "calibration", decimals=2, width=95),
    Field("calibration_low", "from", decimals=2, width=65),
    Field("calibration_high", "to", decimals=2, width=65),
)

_GLANCE = Section(
    "At a glance",
    (
        _stat(
            "Which model scores?",
            "The model of the newest daily tick: the one that outcomes prove best. prior-rule are rules, used"
            " until enough outcomes are known.",
            "string",
            f"SELECT any(model_name) AS model FROM risk_scores FINAL WHERE as_of = {NEWEST_TICK} AND trigger = 'tick'",
            text=True,
        ),
        _stat(
            "How well did it rank, by known outcomes?",
            f"ROC-AUC of the newest week whose outcomes are known: 0.5 is chance, 1 perfect. {_KNOWN}",
            "none",
            _newest("roc_auc"),
            decimals=2,
            base_colour="red",
            thresholds=(Threshold(0.6, "yellow"), Threshold(0.7, "green")),
        ),
        _stat(
            "How well does it rank now, by estimate?",
            f"Estimated ROC-AUC. {_ESTIMATE}",
            "none",
            _newest("estimated_roc_auc"),
            decimals=2,
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
            no_value="none",
        ),
        _stat(
            "Did as many leave as expected?",
            "Mean risk over the share that cancelled, newest known week: 1 is calibrated, 2 expected twice as many"
            f" as left. {_KNOWN}",
            "none",
            _newest("calibration_ratio"),
            decimals=2,
            base_colour="red",
            thresholds=(Threshold(0.67, "green"), Threshold(1.5, "red")),
        ),
        _stat(
            "How long ago were the newest scores that can be judged?",
            "Days from the last as-of whose outcomes are all known to the newest tick: about the horizon. More:"
            " labels are late.",
            "d",
            f"SELECT dateDiff('day', {MATURED}, {NEWEST_TICK}) AS days",
        ),
        _stat(
            "How many alarms were there in a week?",
            "Drift and data-quality alarms of the last 7 days of the time range; the table under Drift says what"
            " was seen and done.",
            "none",
            "SELECT count() AS alarms FROM drift_alarms FINAL WHERE as_of > $__toTime - INTERVAL 7 DAY AND as_of"
            " <= $__toTime",
            base_colour="green",
            thresholds=(Threshold(1, "yellow"), Threshold(5, "red")),
        ),
    ),
)

_QUALITY = Section(
    "Quality: measured on known outcomes (left) and estimated without (right), never mixed",
    (
        _line(
            "How well did the risks rank, by known outcomes?",
            "ROC-AUC by week with its 95% interval, of the segment chosen above, drawn when it became known."
            f" {_KNOWN} An interval that leaves out the weeks before is a change; a dip within it is noise.",
            "none",
            _with_interval("$segment", "roc_auc"),
            (Field("measured", "measured ROC-AUC", colour="blue"), *_INTERVAL),
            decimals=2,
        ),
        _line(
            "How well do the risks rank now, by estimate?",
            f"Estimated ROC-AUC of all accounts, drawn when they were scored. {_ESTIMATE} It is left out for rules"
            " and while concept drift is on, when it would be wrong.",
            "none",
            _series("all", estimated="estimated_roc_auc"),
            (Field("estimated", "estimated ROC-AUC", colour="purple", dashed=True),),
            decimals=2,
            no_value="no estimate",
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
        ),
        _line(
            "How good were the probabilities, by known outcomes?",
            "Log loss and Brier score by week: lower is better; both move with the share that leaves, so compare"
            f" models on the same weeks only. {_KNOWN}",
            "none",
            _series("$segment", log_loss="log_loss", brier="brier"),
            (Field("log_loss", "measured log loss"), Field("brier", "measured Brier score")),
            decimals=3,
        ),
        _line(
            "How good are the probabilities now, by estimate?",
            f"Estimated log loss and Brier score of all accounts. {_ESTIMATE}",
            "none",
            _series("all", log_loss="estimated_log_loss", brier="estimated_brier"),
            (
                Field("log_loss", "estimated log loss", dashed=True),
                Field("brier", "estimated Brier score", dashed=True),
            ),
            decimals=3,
            no_value="no estimate",
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
        ),
        _line(
            "How much more often did the riskiest tenth leave?",
            "Share that cancelled among the riskiest tenth over that of all, with its 95% interval: 1 is no better"
            f" than drawing lots. {_KNOWN}",
            "none",
            _with_interval("$segment", "lift_top_decile"),
            (Field("measured", "measured lift", colour="blue"), *_INTERVAL),
            decimals=1,
        ),
        Panel(
            "Is it equally good for every kind of account?",
            "The newest known week by MRR (thirds) and plan, with 95% intervals. ROC-AUC is left out where fewer"
            f" than 10 left or stayed. {_KNOWN}",
            "none",
            Kind.TABLE,
            (sql(_by_segment("segment = 'all' OR segment LIKE 'mrr_%' OR segment LIKE 'plan:%'")),),
            _SEGMENT_FIELDS,
        ),
    ),
)

_CALIBRATION = Section(
    "Calibration",
    (
        _line(
            "Did as many leave as the risks said?",
            "Mean risk over the share that cancelled, by week, with its 95% interval, of the segment chosen above."
            " Above 1 the risks are too high. An interval that leaves out 1 for weeks: the model lags a change."
            f" {_KNOWN}",
            "none",
            _with_interval("$segment", "calibration_ratio"),
            (Field("measured", "measured ratio", colour="blue"), *_INTERVAL),
            width=8,
            decimals=2,
            thresholds=(Threshold(1, "green"),),
            base_colour="blue",
        ),
        Panel(
            "Does a risk of 30% mean 30%?",
            "Accounts in ten bins by risk, the lowest first: the mean risk that was said beside the share that"
            f" cancelled, over the 13 weeks known last. Bars of a pair should be as tall as each other. {_KNOWN}",
            "percentunit",
            Kind.BARS,
            (
                sql("""
SELECT replaceOne(segment, 'bin:', '') AS bin,
       sumIf(value * examples, metric = 'mean_risk') / sumIf(examples, metric = 'mean_risk') AS said,
       sumIf(value * examples, metric = 'observed_rate') / sumIf(examples, metric = 'observed_rate') AS happened
FROM model_metrics FINAL
WHERE segment LIKE 'bin:%' AND metric IN ('mean_risk', 'observed_rate') AND as_of <= $__toTime
  AND as_of > (SELECT max(as_of) FROM model_metrics WHERE segment LIKE 'bin:%' AND as_of <= $__toTime) - INTERVAL 91 DAY
GROUP BY bin ORDER BY bin
"""),
            ),
            (
                Field("bin", "bin of risk"),
                Field("said", "mean risk said", colour="blue"),
                Field("happened", "share that cancelled", colour="red"),
            ),
            width=8,
            minimum=0,
        ),
        _line(
            "How far are risks from what happens, on average?",
            "Expected calibration error (ECE) by week: mean distance of a bin's risk from its share that"
            f" cancelled. With few cancellations a week, a few points of it are chance. {_KNOWN}",
            "percentunit",
            _series("$segment", ece="ece"),
            (Field("ece", "measured ECE"),),
            width=8,
            minimum=0,
        ),
        Panel(
            "Is every horizon of the risk curve right?",
            f"The newest known week of each horizon of the risk curve. Of scores of learnt models only. {_KNOWN}",
            "none",
            Kind.TABLE,
            (sql(_by_segment("segment LIKE 'horizon_%'")),),
            _SEGMENT_FIELDS,
            no_value="no longest horizon has passed for a learnt model",
            expects_data=False,
            no_data_reason="needs scores of a learnt model older than the longest horizon",
        ),
        _line(
            "What share of the week's scores has an outcome?",
            "Examples with a label and a stored score, of those that were taken, by week as it became known. Below"
            " 100%: labels or scores were lost on the way.",
            "percentunit",
            _series("all", coverage="label_coverage"),
            (Field("coverage", "label coverage"),),
            minimum=0,
            maximum=1,
        ),
    ),
)

_BANDS = (
    ("under 5%", "risk < 0.05", "dark-green"),
    ("5 to 10%", "risk >= 0.05 AND risk < 0.1", "green"),
    ("10 to 25%", "risk >= 0.1 AND risk < 0.25", "yellow"),
    ("25 to 50%", "risk >= 0.25 AND risk < 0.5", "orange"),
    ("50% and more", "risk >= 0.5", "red"),
)

_SCORES = Section(
    "Scores",
    (
        _line(
            "How are the risks spread?",
            "Share of active accounts in each band of risk at each daily tick. A jump on one day with a mark of a"
            " champion change is the model; without, look at the drift of the features.",
            "short",
            "SELECT as_of AS time,\n       "
            + ",\n       ".join(f"countIf({rule}) AS `{name}`" for name, rule, _ in _BANDS)
            + f"\nFROM {ticks('risk')}\nGROUP BY time ORDER BY time",
            tuple(Field(name, name, colour=colour) for name, _, colour in _BANDS),
            stacked=True,
            as_share=True,
        ),
        _line(
            "Where are the middle and the top of the risks?",
            "Mean, median, 90th and 99th percentile of the risk at each daily tick. The mean should follow the"
            " share that leaves.",
            "percentunit",
            f"""
SELECT as_of AS time, avg(risk) AS mean, quantileExact(0.5)(risk) AS median,
       quantileExact(0.9)(risk) AS p90, quantileExact(0.99)(risk) AS p99
FROM {ticks("risk")}
GROUP BY time ORDER BY time
""",
            (
                Field("mean", "mean"),
                Field("median", "median"),
                Field("p90", "90th percentile"),
                Field("p99", "99th percentile"),
            ),
            minimum=0,
        ),
    ),
)

_ALARM_KINDS = (
    *("feature_drift", "score_drift", "concept_drift", "label_delay"),
    *("performance", "volume", "freshness", "completeness"),
)

_DRIFT = Section(
    "Drift",
    (
        Panel(
            "Which features drift?",
            "Population stability index (PSI) of the last week against the four weeks that ended four weeks ago,"
            " the eight features with the largest one in the time range. Below 0.1 is the usual to and fro, above"
            " 0.25 a change:"
            " find out whether customers changed or an event went missing.",
            "none",
            Kind.TIME_SERIES,
            (
                sql(
                    """
SELECT as_of AS time, replaceOne(metric, 'psi:', '') AS series, value
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND metric IN (
    SELECT metric FROM model_metrics FINAL
    WHERE $__timeFilter(as_of) AND metric LIKE 'psi:%' AND metric != 'psi:risk'
    GROUP BY metric ORDER BY max(value) DESC, metric LIMIT 8
)
ORDER BY time, series
""",
                    Shape.LONG,
                ),
            ),
            thresholds=(Threshold(0.25, "red"),),
            minimum=0,
            decimals=2,
        ),
        _line(
            "Do the risks themselves drift?",
            "PSI of the risk, as for the features. A change of the champion moves it too, for five weeks or so.",
            "none",
            _series("all", psi="psi:risk"),
            (Field("psi", "PSI of the risk"),),
            thresholds=(Threshold(0.25, "red"),),
            minimum=0,
            decimals=2,
            no_value="no learnt model for long enough",
            expects_data=False,
            no_data_reason="needs five weeks of scores of a learnt model",
        ),
        _line(
            "Do other accounts leave than expected?",
            "Cancellations of each week (Monday to Sunday), drawn at its end, beside how many the risks stored at"
            " its start let expect. No horizon has to pass for it. Far more than expected for weeks: concept"
            " drift, as after a change of prices; the alarms below name the accounts.",
            "none",
            f"""
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
""",
            (Field("happened", "cancelled", colour="red"), Field("expected", "expected", colour="blue", dashed=True)),
            minimum=0,
        ),
        _line(
            "Which alarms are raised?",
            "Alarms a week, by kind.",
            "none",
            "SELECT toDateTime(toStartOfWeek(as_of, 1), 'UTC') AS time,\n       "
            + ",\n       ".join(f"countIf(kind = '{kind}') AS {kind}" for kind in _ALARM_KINDS)
            + "\nFROM drift_alarms FINAL\nWHERE $__timeFilter(as_of)\nGROUP BY time ORDER BY time",
            tuple(Field(kind, kind.replace("_", " ")) for kind in _ALARM_KINDS),
            stacked=True,
            bars=True,
            minimum=0,
            no_value="no alarms",
            expects_data=False,
            no_data_reason="a steady company raises none",
        ),
        Panel(
            "What was seen, and what was done?",
            "The alarms of the time range, the newest first. The action says what the system did by itself and"
            " what it asks for.",
            "none",
            Kind.TABLE,
            (
                sql("""
SELECT as_of AS time, kind, severity, subject, detail, action
FROM drift_alarms FINAL WHERE $__timeFilter(as_of) ORDER BY time DESC, kind, subject LIMIT 100
"""),
            ),
            (
                Field("time", "as of", "dateTimeAsIso", width=160),
                Field("kind", "kind", width=115),
                Field("severity", "severity", width=80, words=SEVERITIES),
                Field("subject", "subject", width=170),
                Field("detail", "what was seen"),
                Field("action", "what was done or is asked for"),
            ),
            width=24,
            no_value="no alarms",
            expects_data=False,
            no_data_reason="a steady company raises none",
        ),
    ),
)

_VERSIONS = Section(
    "Versions, champion and challengers",
    (
        Panel(
            "Who scored when?",
            "Scores of each daily tick by the model that gave them; the colour changes where the champion did.",
            "short",
            Kind.TIME_SERIES,
            (
                sql(
                    f"""
SELECT as_of AS time, model_name AS series, count() AS scores
FROM {ticks("model_name")}
GROUP BY time, series ORDER BY time, series
""",
                    Shape.LONG,
                ),
            ),
            stacked=True,
            minimum=0,
        ),
        Panel(
            "Does a challenger do better?",
            "Log loss that each model would have saved an example against the one that scores, on the same"
            " outcomes, fading with a half-life of 90 days: above 0 it would have been better.",
            "none",
            Kind.TIME_SERIES,
            (
                sql(
                    """
SELECT as_of AS time, model_name AS series, value AS gain
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND segment = 'contest' AND metric = 'gain'
ORDER BY time, series
""",
                    Shape.LONG,
                ),
            ),
            thresholds=(Threshold(0, "green"),),
            base_colour="blue",
            decimals=3,
        ),
        Panel(
            "How does the contest stand?",
            "The newest week of the contest: log loss of each model, what it would have saved against the one that"
            " scores, and that in standard errors: 3 promotes it. The one that scores has a gain of 0 and no t.",
            "none",
            Kind.TABLE,
            (
                sql("""
SELECT model_name AS model, anyOrNullIf(value, metric = 'log_loss') AS log_loss,
       anyOrNullIf(value, metric = 'gain') AS gain, anyOrNullIf(value, metric = 'gain_t') AS t,
       max(examples) AS outcomes
FROM model_metrics FINAL
WHERE segment = 'contest'
  AND as_of = (SELECT max(as_of) FROM model_metrics WHERE segment = 'contest' AND as_of <= $__toTime)
GROUP BY model ORDER BY gain DESC, model
"""),
            ),
            (
                Field("model", "model"),
                Field("log_loss", "log loss", decimals=4, width=95),
                Field("gain", "gain", decimals=4, width=95),
                Field("t", "in standard errors", decimals=1, width=140),
                Field("outcomes", "outcomes", "locale", 0, width=95),
            ),
        ),
        Panel(
            "When did the champion change?",
            "Each model that took over, and when; the newest first, whatever the time range. The first line from"
            " the bottom is the start.",
            "none",
            Kind.TABLE,
            (
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
            ),
            (
                Field("time", "from", "dateTimeAsIso", width=160),
                Field("model", "model"),
                Field("instead_of", "instead of"),
                Field("version", "first version"),
            ),
        ),
        _line(
            "Is the model learning?",
            "Versions that the models learnt, a week: one a day with new outcomes. None: no outcomes arrive, or"
            " the champion is a rule.",
            "none",
            """
SELECT toDateTime(toStartOfWeek(as_of, 1), 'UTC') AS time, count() AS versions
FROM model_versions FINAL WHERE $__timeFilter(as_of)
GROUP BY time ORDER BY time
""",
            (Field("versions", "versions"),),
            bars=True,
            minimum=0,
        ),
        Panel(
            "Which version do the processes use now?",
            "The model that the running processes score with.",
            "none",
            Kind.TABLE,
            (promql("max by (model_name, model_version, feature_version) (c360_model_info)", instant=True),),
            (
                Field("model_name", "model"),
                Field("model_version", "version"),
                Field("feature_version", "features", width=85),
                Field("Value", "in use", decimals=0, width=80),
            ),
        ),
    ),
)

_OUTCOMES = Section(
    "Outcomes",
    (
        _line(
            "Do outcomes mature?",
            "Outcomes by the day on which they became known. A stay is known a horizon later, a cancellation at"
            " once. No bars at the right end: labels have stopped coming, and learning with them.",
            "short",
            """
SELECT toDateTime(toStartOfDay(known_at), 'UTC') AS time, countIf(churned) AS cancelled, countIf(NOT churned) AS stayed
FROM outcomes FINAL WHERE $__timeFilter(known_at)
GROUP BY time ORDER BY time
""",
            (Field("cancelled", "cancelled", colour="red"), Field("stayed", "stayed", colour="green")),
            width=8,
            stacked=True,
            bars=True,
            minimum=0,
        ),
        _line(
            "What share leaves?",
            "Share that cancelled within the horizon, by week as it became known, with its 95% interval, of the"
            f" segment chosen above. {_KNOWN}",
            "percentunit",
            _with_interval("$segment", "base_rate"),
            (Field("measured", "measured share", colour="blue"), *_INTERVAL),
            width=8,
            minimum=0,
        ),
        Panel(
            "How many outcomes are waited for?",
            "Examples whose label is not yet known, from the running processes.",
            "short",
            Kind.TIME_SERIES,
            (promql("c360:outcomes_pending:sum", "pending"),),
            width=8,
            minimum=0,
        ),
        Panel(
            "What do the running processes say of each model?",
            "Prequential figures as the processes have them, each model of its own newest known week: the alerts"
            " look at these.",
            "none",
            Kind.TIME_SERIES,
            (
                promql("c360:model_auc:max", "{{model_name}} ROC-AUC"),
                promql("max by (model_name) (c360_model_log_loss)", "{{model_name}} log loss"),
                promql("c360:model_calibration_ratio:max", "{{model_name}} calibration"),
            ),
            width=24,
            decimals=2,
        ),
    ),
)

MODEL = Dashboard(
    uid="c360-model",
    title="c360: can the risks be trusted?",
    description="Quality by label maturity, calibration, drift, versions: for whoever answers for the model.",
    since="now-180d",
    refresh="5m",
    sections=(_GLANCE, _QUALITY, _CALIBRATION, _SCORES, _DRIFT, _VERSIONS, _OUTCOMES),
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
