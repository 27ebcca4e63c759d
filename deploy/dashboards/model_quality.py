"""Model: how good the risks were, measured and estimated; whether they are calibrated."""

from __future__ import annotations

from deploy.dashboards.panel import Field, Section, Threshold, sql
from deploy.dashboards.parts import bars, lines, table, wide
from deploy.dashboards.sql import metric_series
from deploy.dashboards.vocabulary import ESTIMATE, INTERVAL, KNOWN


def with_interval(segment: str, metric: str) -> str:
    """A metric of a segment over time, as `measured`, with its 95% interval."""
    return metric_series(segment, measured=metric, low=f"{metric}_low", high=f"{metric}_high")


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


QUALITY = Section(
    "Quality: measured on known outcomes (left) and estimated without (right), never mixed",
    (
        lines(
            "How well did the risks rank, by known outcomes?",
            "ROC-AUC by week with its 95% interval, of the segment chosen above, drawn when it became known."
            f" {KNOWN} An interval that leaves out the weeks before is a change; a dip within it is noise.",
            "none",
            wide(with_interval("$segment", "roc_auc")),
            Field("measured", "measured ROC-AUC", colour="blue"),
            *INTERVAL,
            decimals=2,
        ),
        lines(
            "How well do the risks rank now, by estimate?",
            f"Estimated ROC-AUC of all accounts, drawn when they were scored. {ESTIMATE} It is left out for rules"
            " and while concept drift is on, when it would be wrong.",
            "none",
            wide(metric_series("all", estimated="estimated_roc_auc")),
            Field("estimated", "estimated ROC-AUC", colour="purple", dashed=True),
            decimals=2,
            no_value="no estimate",
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
        ),
        lines(
            "How good were the probabilities, by known outcomes?",
            "Log loss and Brier score by week: lower is better; both move with the share that leaves, so compare"
            f" models on the same weeks only. {KNOWN}",
            "none",
            wide(metric_series("$segment", log_loss="log_loss", brier="brier")),
            Field("log_loss", "measured log loss"),
            Field("brier", "measured Brier score"),
            decimals=3,
        ),
        lines(
            "How good are the probabilities now, by estimate?",
            f"Estimated log loss and Brier score of all accounts. {ESTIMATE}",
            "none",
            wide(metric_series("all", log_loss="estimated_log_loss", brier="estimated_brier")),
            Field("log_loss", "estimated log loss", dashed=True),
            Field("brier", "estimated Brier score", dashed=True),
            decimals=3,
            no_value="no estimate",
            expects_data=False,
            no_data_reason="rules, and times of concept drift, have no estimate",
        ),
        lines(
            "How much more often did the riskiest tenth leave?",
            "Share that cancelled among the riskiest tenth over that of all, with its 95% interval: 1 is no better"
            f" than drawing lots. {KNOWN}",
            "none",
            wide(with_interval("$segment", "lift_top_decile")),
            Field("measured", "measured lift", colour="blue"),
            *INTERVAL,
            decimals=1,
        ),
        table(
            "Is it equally good for every kind of account?",
            "The newest known week by MRR (thirds) and plan, with 95% intervals. ROC-AUC is left out where fewer"
            f" than 10 left or stayed. {KNOWN}",
            "none",
            sql(_by_segment("segment = 'all' OR segment LIKE 'mrr_%' OR segment LIKE 'plan:%'")),
            *_SEGMENT_FIELDS,
        ),
    ),
)

CALIBRATION = Section(
    "Calibration",
    (
        lines(
            "Did as many leave as predicted?",
            "Mean risk over the share that cancelled, by week, with its 95% interval, of the segment chosen above."
            " Above 1 the risks are too high. An interval that leaves out 1 for weeks: the model lags a change."
            f" {KNOWN}",
            "none",
            wide(with_interval("$segment", "calibration_ratio")),
            Field("measured", "measured ratio", colour="blue"),
            *INTERVAL,
            width=8,
            decimals=2,
            thresholds=(Threshold(1, "green"),),
            base_colour="blue",
        ),
        bars(
            "Does a risk of 30% mean 30%?",
            "Accounts in ten bins by risk, the lowest first: the mean risk beside the share that"
            f" cancelled, over the 13 weeks known last. Bars of a pair should be as tall as each other. {KNOWN}",
            "percentunit",
            sql("""
SELECT replaceOne(segment, 'bin:', '') AS bin,
       sumIf(value * examples, metric = 'mean_risk') / sumIf(examples, metric = 'mean_risk') AS predicted,
       sumIf(value * examples, metric = 'observed_rate') / sumIf(examples, metric = 'observed_rate') AS happened
FROM model_metrics FINAL
WHERE segment LIKE 'bin:%' AND metric IN ('mean_risk', 'observed_rate') AND as_of <= $__toTime
  AND as_of > (SELECT max(as_of) FROM model_metrics WHERE segment LIKE 'bin:%' AND as_of <= $__toTime) - INTERVAL 91 DAY
GROUP BY bin ORDER BY bin
"""),
            Field("bin", "bin of risk"),
            Field("predicted", "mean risk", colour="blue"),
            Field("happened", "share that cancelled", colour="red"),
            width=8,
            minimum=0,
        ),
        lines(
            "How far are risks from what happens, on average?",
            "Expected calibration error (ECE) by week: mean distance of a bin's risk from its share that"
            f" cancelled. With few cancellations per week, a few points of it are chance. {KNOWN}",
            "percentunit",
            wide(metric_series("$segment", ece="ece")),
            Field("ece", "measured ECE"),
            width=8,
            minimum=0,
        ),
        table(
            "Is every horizon of the risk curve right?",
            f"The newest known week of each horizon of the risk curve. Of scores of learnt models only. {KNOWN}",
            "none",
            sql(_by_segment("segment LIKE 'horizon_%'")),
            *_SEGMENT_FIELDS,
            no_value="no longest horizon has passed for a learnt model",
            expects_data=False,
            no_data_reason="needs scores of a learnt model older than the longest horizon",
        ),
        lines(
            "What share of the week's scores has an outcome?",
            "Examples with a label and a stored score, of those that were taken, by week as it became known. Below"
            " 100%: labels or scores were lost on the way.",
            "percentunit",
            wide(metric_series("all", coverage="label_coverage")),
            Field("coverage", "label coverage"),
            minimum=0,
            maximum=1,
        ),
    ),
)
