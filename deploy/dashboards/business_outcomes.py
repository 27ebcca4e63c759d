"""Business: the outcomes of scores and contacts."""

from __future__ import annotations

from deploy.dashboards.panel import Field, Section, Threshold, sql
from deploy.dashboards.parts import lines, table, wide
from deploy.dashboards.sql import AT_RISK, MATURED, metric_series, wilson
from deploy.dashboards.vocabulary import TIER

_FLAGGED = f"""(
    SELECT score.as_of AS as_of, score.tier AS tier, score.risk AS risk,
           outcome.churned AS churned
    FROM (
        SELECT account_id, as_of, tier, risk FROM risk_scores FINAL
        WHERE trigger = 'tick' AND toDayOfWeek(as_of) = 1 AND as_of <= {MATURED} AND {{when}}
    ) AS score
    INNER JOIN (
        SELECT account_id, as_of, churned FROM outcomes FINAL
        WHERE toDayOfWeek(as_of) = 1 AND as_of <= {MATURED} AND {{when}}
    ) AS outcome ON outcome.account_id = score.account_id AND outcome.as_of = score.as_of
)"""

OUTCOMES = Section(
    "What became of it",
    (
        table(
            "Did the flags come true?",
            "What became of the scores of the last 13 Mondays whose outcome is known by now, by the tier that was"
            " shown then: share that cancelled within the horizon against the share that the risks"
            " expected. Far apart: see calibration on the model dashboard. An account that was called and stayed counts"
            " as stayed. An account counts once per Monday.",
            "none",
            sql(f"""
SELECT tier, count() AS scores, countIf(churned) AS cancelled, cancelled / scores AS share,
       avg(risk) AS expected
FROM {_FLAGGED.format(when=f"as_of > {MATURED} - INTERVAL 91 DAY")}
GROUP BY tier ORDER BY expected DESC
"""),
            TIER,
            Field("scores", "scores", decimals=0, width=80),
            Field("cancelled", "cancelled", decimals=0, width=90),
            Field("share", "share", "percentunit", 0, width=80),
            Field("expected", "expected", "percentunit", 0, width=90),
        ),
        lines(
            "How many of those flagged left?",
            "Accounts that were high or critical on a Monday, by what they did within the horizon after it. Drawn"
            " at that Monday: the last horizon is empty, since nobody knows yet.",
            "none",
            wide(f"""
SELECT as_of AS time, countIf(churned) AS cancelled, countIf(NOT churned) AS stayed
FROM {_FLAGGED.format(when="$__timeFilter(as_of)")}
WHERE {AT_RISK} GROUP BY time ORDER BY time
"""),
            Field("cancelled", "cancelled", colour="red"),
            Field("stayed", "stayed", colour="green"),
            stacked=True,
            bars=True,
            minimum=0,
        ),
        lines(
            "How early were cancellations flagged?",
            "Of the MRR that was cancelled in the four weeks before: the share whose account was high at least so"
            " many days ahead. What is flagged a week ahead leaves a week to act.",
            "percentunit",
            wide(
                metric_series(
                    "all",
                    days_7="mrr_caught_7d_ahead",
                    days_30="mrr_caught_30d_ahead",
                    days_60="mrr_caught_60d_ahead",
                )
            ),
            Field("days_7", "7 days ahead"),
            Field("days_30", "30 days ahead"),
            Field("days_60", "60 days ahead"),
            width=8,
            minimum=0,
            maximum=1,
        ),
        lines(
            "How much time do flags leave?",
            "Median days from the first high to the cancellation, of accounts that were high at some time in the"
            " horizon before it; cancellations of the four weeks before.",
            "d",
            wide(metric_series("all", median="lead_days_median")),
            Field("median", "median lead time"),
            width=8,
            minimum=0,
            decimals=0,
        ),
        lines(
            "How many flags were for nothing?",
            "Accounts that became high and did not cancel within the horizon, an account and 30 days. Too many"
            " calls for nothing: raise C360_TIER_HIGH.",
            "none",
            wide(metric_series("all", flags="false_flags_per_account_month")),
            Field("flags", "false flags an account and month"),
            width=8,
            minimum=0,
        ),
        table(
            "Which playbooks keep accounts?",
            "Contacted accounts by playbook against those that nobody contacted, whole weeks in the time range"
            " whose outcomes are known: share that cancelled with its 95% interval, beside what their risks"
            " expected. Who is called is not drawn by lot: choose a tier above to compare like with like, and trust"
            " no difference within the intervals.",
            "none",
            sql(f"""
SELECT if(contacted, playbook, '(not contacted)') AS playbook, sum(accounts) AS examples, sum(churned) AS cancelled,
       cancelled / examples AS share,
       greatest(0, {wilson("share", "examples", "-")}) AS low,
       least(1, {wilson("share", "examples", "+")}) AS high,
       sum(mean_risk * accounts) / examples AS expected, sum(mrr_cents - mrr_churned_cents) / 100 AS mrr_kept
FROM interventions FINAL
WHERE $__timeFilter(as_of) AND ('$tier' = 'all' OR tier = '$tier')
GROUP BY playbook ORDER BY examples DESC, playbook
"""),
            Field("playbook", "playbook"),
            Field("examples", "accounts", decimals=0, width=85),
            Field("cancelled", "cancelled", decimals=0, width=90),
            Field("share", "share", "percentunit", 0, width=75),
            Field("low", "from", "percentunit", 0, width=70),
            Field("high", "to", "percentunit", 0, width=70),
            Field("expected", "expected", "percentunit", 0, width=90),
            Field("mrr_kept", "MRR kept", "locale", 0, width=110),
            width=14,
        ),
        lines(
            "Was the predicted value right?",
            "Margin that was predicted for half a year over what came in, by cohort: 1 is right, above it predicts"
            " too much. A value every 30 days, half a year late.",
            "none",
            wide(metric_series("all", ratio="value_180d_ratio")),
            Field("ratio", "predicted over actual"),
            width=10,
            decimals=2,
            thresholds=(Threshold(1, "green"),),
            base_colour="blue",
            no_value="no cohort is half a year old",
            expects_data=False,
            no_data_reason="needs scores of a learnt model that are half a year old",
        ),
    ),
)
