"""Who is about to leave, and what is it worth? For customer success and whoever plans by it; ClickHouse only."""

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
    sql,
)
from deploy.dashboards.sql import AT_RISK, CHAMPION_CHANGES, MATURED, NEWEST_TICK, current, ticks, wilson

TIERS = {"low": "green", "medium": "yellow", "high": "orange", "critical": "red"}
SEGMENTS = {
    "at_risk": "red",
    "dormant": "purple",
    "new": "light-blue",
    "shrinking": "orange",
    "growing": "green",
    "loyal": "dark-green",
    "steady": "blue",
}
_TIER_FIELDS = tuple(Field(tier, tier, colour=colour) for tier, colour in TIERS.items())
_CHOSEN = "('$tier' = 'all' OR tier = '$tier') AND ('$segment' = 'all' OR segment = '$segment')"
# The strongest reason that raises the risk; reasons are ordered by strength, some lower it.
_WHY = "tupleElement(arrayFirst(reason -> tupleElement(reason, 'contribution') > 0, reasons), 'text')"
# As the tiers begin by default, for the bars of risks.
_RISKY = (Threshold(0.1, "yellow"), Threshold(0.25, "orange"), Threshold(0.5, "red"))
_MONEY = "Money is in the currency of the billing events, whole units."


def _stat(title: str, description: str, unit: str, query: str, **more: object) -> Panel:
    sized = {"width": 4, "height": 5, "base_colour": "blue", **more}
    return Panel(title, description, unit, Kind.STAT, (sql(query),), **sized)  # type: ignore[arg-type]


def _by_tier(what: str) -> str:
    columns = ",\n       ".join(f"{what.format(tier=tier)} AS {tier}" for tier in TIERS)
    scores = ticks("tier", "mrr_cents", "mrr_at_risk_cents")
    return f"SELECT as_of AS time,\n       {columns}\nFROM {scores}\nGROUP BY time ORDER BY time"


_GLANCE = Section(
    "At a glance",
    (
        _stat(
            "How fresh is this page?",
            "When the newest score that the page shows was taken. Scores are renewed at every midnight UTC and in"
            " between as events move an account:"
            " older than a day and a few hours, and the operations dashboard says why.",
            "dateTimeFromNow",
            "SELECT toUnixTimestamp64Milli(max(as_of)) AS newest FROM risk_scores WHERE as_of <= $__toTime"
            " HAVING count() > 0",
        ),
        _stat(
            "Do events still reach these tables?",
            "When the newest heartbeat was sent that came through the whole flow into these tables, of the input"
            " partition where that is longest ago. Minutes: what happened until then is in the scores. Longer: tell"
            " whoever runs it.",
            "dateTimeFromNow",
            """
SELECT toUnixTimestamp64Milli(min(newest)) AS oldest
FROM (SELECT max(sent_at) AS newest FROM heartbeats FINAL WHERE sent_at <= $__toTime GROUP BY topic, partition)
HAVING count() > 0
""",
            live_only=True,
            no_value="no heartbeats",
        ),
        _stat(
            "How many accounts are there?",
            "Accounts with an active subscription at the end of the time range.",
            "locale",
            f"SELECT count() AS accounts FROM {current()}",
            width=3,
        ),
        _stat(
            "How many are at risk?",
            "Accounts in the tiers high and critical: likely enough to cancel within the horizon that somebody"
            " should look. The list below says who.",
            "locale",
            f"SELECT countIf({AT_RISK}) AS accounts FROM {current('tier')}",
            base_colour="orange",
            width=3,
        ),
        _stat(
            "How much MRR is there?",
            f"Monthly recurring revenue of all active accounts. {_MONEY}",
            "short",
            f"SELECT sum(mrr_cents) / 100 AS mrr FROM {current('mrr_cents')}",
            decimals=1,
            width=3,
        ),
        _stat(
            "How much MRR is likely to go?",
            "Each account's MRR times its risk, summed: what can be expected to be cancelled within the horizon if"
            f" nobody does anything. {_MONEY}",
            "short",
            f"SELECT sum(mrr_at_risk_cents) / 100 AS mrr FROM {current('mrr_at_risk_cents')}",
            base_colour="orange",
            decimals=1,
            width=3,
        ),
        _stat(
            "What are the accounts worth?",
            f"Margin expected of all active accounts over their lifetime, discounted. {_MONEY}",
            "short",
            f"SELECT sum(lifetime_value_cents) / 100 AS value FROM {current('lifetime_value_cents')}",
            decimals=1,
        ),
    ),
)

_TIERS = Section(
    "Accounts and MRR by tier",
    (
        Panel(
            "How do accounts and MRR spread over the tiers?",
            "Active accounts now. MRR at risk is MRR times risk. A large MRR in critical with few accounts: call"
            f" each of them. {_MONEY}",
            "locale",
            Kind.TABLE,
            (
                sql(f"""
SELECT tier, count() AS accounts, avg(risk) AS mean_risk, sum(mrr_cents) / 100 AS mrr,
       sum(mrr_at_risk_cents) / 100 AS mrr_at_risk, sum(lifetime_value_cents) / 100 AS lifetime_value
FROM {current("tier", "risk", "mrr_cents", "mrr_at_risk_cents", "lifetime_value_cents")}
GROUP BY tier ORDER BY mean_risk DESC
"""),
            ),
            (
                Field("tier", "tier", width=90, words=tuple(TIERS.items())),
                Field("accounts", "accounts", decimals=0, width=90),
                Field("mean_risk", "mean risk", "percentunit", 0, width=95),
                Field("mrr", "MRR", decimals=0),
                Field("mrr_at_risk", "MRR at risk", decimals=0),
                Field("lifetime_value", "lifetime value", decimals=0),
            ),
        ),
        Panel(
            "Does the MRR that is likely to go grow?",
            "MRR times risk, by tier, at each daily tick. A step on one day across all tiers is more often the"
            f" model than the customers: see its champion changes. {_MONEY}",
            "short",
            Kind.TIME_SERIES,
            (
                sql(
                    _by_tier("sumIf(ifNull(mrr_at_risk_cents, 0), tier = '{tier}') / 100"),
                    Shape.WIDE,
                ),
            ),
            _TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
        Panel(
            "How do the tiers develop?",
            "Active accounts by tier at each daily tick. Growing tiers high and critical ask for more calls, or"
            " for a look at what changed for everybody.",
            "short",
            Kind.TIME_SERIES,
            (sql(_by_tier("countIf(tier = '{tier}')"), Shape.WIDE),),
            _TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
        Panel(
            "How does MRR develop by tier?",
            f"MRR of active accounts by tier at each daily tick. {_MONEY}",
            "short",
            Kind.TIME_SERIES,
            (sql(_by_tier("sumIf(ifNull(mrr_cents, 0), tier = '{tier}') / 100"), Shape.WIDE),),
            _TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
    ),
)

_ACCOUNT = Field("account", "account", width=130)
_TIER = Field("tier", "tier", width=80, words=tuple(TIERS.items()))
_RISK = Field("risk", "risk", "percentunit", 0, width=110, gauge=True)
_MRR = Field("mrr", "MRR", "locale", 0, width=100)
_REASON = Field("why", "strongest reason")

_WHO = Section(
    "Who",
    (
        Panel(
            "Who should be called first?",
            "The 50 active accounts with the most MRR at risk, by the tier and segment chosen above. The reason is"
            " what raises the risk most; risk_scores has all of them,"
            f" and c360 verify rebuilds a score from the events. {_MONEY}",
            "none",
            Kind.TABLE,
            (
                sql(f"""
SELECT account_id AS account, tier, coalesce(segment, '') AS segment, risk,
       mrr_cents / 100 AS mrr, mrr_at_risk_cents / 100 AS mrr_at_risk, expected_months, {_WHY} AS why
FROM {current("tier", "segment", "risk", "mrr_cents", "mrr_at_risk_cents", "expected_months", "reasons")}
WHERE {_CHOSEN}
ORDER BY mrr_at_risk DESC NULLS LAST, account LIMIT 50
"""),
            ),
            (
                _ACCOUNT,
                _TIER,
                Field("segment", "segment", width=100, words=tuple(SEGMENTS.items())),
                _RISK,
                _MRR,
                Field("mrr_at_risk", "MRR at risk", "locale", 0, width=110),
                Field("expected_months", "months expected", "none", 0, width=130),
                _REASON,
            ),
            width=24,
            height=10,
            minimum=0,
            maximum=1,
            thresholds=_RISKY,
        ),
        Panel(
            "Who got riskier within a week?",
            "The 20 largest rises since the daily tick a week before. The reason is the strongest one now. Many at"
            " once on the day of a champion change: the model moved, not they.",
            "none",
            Kind.TABLE,
            (
                sql(f"""
SELECT now.account_id AS account, now.tier AS tier, before.risk AS risk_before, now.risk AS risk,
       now.risk - before.risk AS rise, now.mrr_cents / 100 AS mrr, now.why AS why
FROM (SELECT account_id, tier, segment, risk, mrr_cents, {_WHY} AS why
      FROM {current("tier", "segment", "risk", "mrr_cents", "reasons")}) AS now
INNER JOIN (
    SELECT account_id, risk FROM risk_scores FINAL
    WHERE as_of = {NEWEST_TICK} - INTERVAL 7 DAY AND trigger = 'tick'
) AS before ON before.account_id = now.account_id
WHERE {_CHOSEN.replace("tier =", "now.tier =").replace("segment =", "now.segment =")} AND rise > 0
ORDER BY rise DESC, account LIMIT 20
"""),
            ),
            (
                _ACCOUNT,
                _TIER,
                Field("risk_before", "a week ago", "percentunit", 0, width=95),
                _RISK,
                Field("rise", "rise", "percentunit", 0, width=70),
                _MRR,
                _REASON,
            ),
            height=10,
            minimum=0,
            maximum=1,
            thresholds=_RISKY,
        ),
        Panel(
            "Who might not renew?",
            "Accounts in the tiers medium, high and critical that renew within 90 days, the soonest first. Talk to them"
            " before the renewal does. Accounts whose renewal is not known are not here.",
            "none",
            Kind.TABLE,
            (
                sql(f"""
SELECT score.account_id AS account, feature.days_to_renewal AS days, score.tier AS tier, score.risk AS risk,
       score.mrr_cents / 100 AS mrr, score.why AS why
FROM (SELECT account_id, tier, risk, mrr_cents, {_WHY} AS why
      FROM {current("tier", "risk", "mrr_cents", "reasons")} WHERE tier != 'low') AS score
INNER JOIN (
    SELECT account_id, days_to_renewal FROM account_features FINAL
    WHERE as_of = {NEWEST_TICK} AND days_to_renewal BETWEEN 0 AND 90
) AS feature ON feature.account_id = score.account_id
ORDER BY days, account LIMIT 50
"""),
            ),
            (_ACCOUNT, Field("days", "days left", "none", 0, width=85), _TIER, _RISK, _MRR, _REASON),
            height=10,
            no_value="none renews within 90 days",
            expects_data=False,
            no_data_reason="in a company younger than a year no contract is about to end",
            minimum=0,
            maximum=1,
            thresholds=_RISKY,
        ),
    ),
)

_WHY_SECTION = Section(
    "Why",
    (
        Panel(
            "What drives the risk of those at risk?",
            "Of the accounts in the tiers high and critical: how often each feature is among the reasons that"
            " raise their risk, and the MRR of these accounts, the most frequent first."
            f" A reason that many share is a case for the product or for pricing, not for single calls. {_MONEY}",
            "none",
            Kind.TABLE,
            (
                sql(f"""
SELECT tupleElement(reason, 'feature') AS feature, uniqExact(account_id) AS accounts,
       accounts / (SELECT countIf({AT_RISK}) FROM {current("tier")}) AS share,
       sum(mrr_cents) / 100 AS mrr, avg(tupleElement(reason, 'contribution')) AS contribution,
       argMax(tupleElement(reason, 'text'), (tupleElement(reason, 'contribution'), account_id)) AS example
FROM {current("tier", "mrr_cents", "reasons")} ARRAY JOIN reasons AS reason
WHERE {AT_RISK} AND tupleElement(reason, 'contribution') > 0
GROUP BY feature ORDER BY accounts DESC, feature
"""),
            ),
            (
                Field("feature", "feature", width=190),
                Field("accounts", "accounts", decimals=0, width=85),
                Field("share", "of those at risk", "percentunit", 0, width=130, gauge=True),
                Field("mrr", "their MRR", "locale", 0, width=100),
                Field("contribution", "log-odds", decimals=2, width=85),
                Field("example", "strongest example"),
            ),
            width=14,
            height=9,
            minimum=0,
            maximum=1,
            base_colour="blue",
        ),
        Panel(
            "When does how much MRR renew?",
            "MRR by days until renewal: of accounts at risk, and of all others. A tall first bar at risk is this"
            f" month's work. {_MONEY}",
            "short",
            Kind.BARS,
            (
                sql(f"""
SELECT multiIf(feature.days_to_renewal < 30, 'under 30 days', feature.days_to_renewal < 60, '30 to 60 days',
               feature.days_to_renewal < 90, '60 to 90 days', 'later') AS renews,
       sumIf(ifNull(score.mrr_cents, 0), {AT_RISK}) / 100 AS at_risk,
       sumIf(ifNull(score.mrr_cents, 0), NOT {AT_RISK}) / 100 AS others
FROM {current("tier", "mrr_cents")} AS score
INNER JOIN (
    SELECT account_id, days_to_renewal FROM account_features FINAL
    WHERE as_of = {NEWEST_TICK} AND days_to_renewal >= 0
) AS feature ON feature.account_id = score.account_id
GROUP BY renews ORDER BY min(feature.days_to_renewal)
"""),
            ),
            (
                Field("renews", "renews"),
                Field("at_risk", "at risk", colour="red"),
                Field("others", "others", colour="green"),
            ),
            width=10,
            height=9,
            stacked=True,
            minimum=0,
        ),
    ),
)

_KINDS = Section(
    "Kinds of customers",
    (
        Panel(
            "What kinds of customers are there, and what are they worth?",
            "Active accounts by segment: at_risk (tier high or critical), dormant (silent for 14 days), new,"
            " shrinking, growing, loyal, steady. Months are those until the account is expected"
            f" to cancel, lifetime value the margin until then, discounted. {_MONEY}",
            "locale",
            Kind.TABLE,
            (
                sql(f"""
SELECT coalesce(segment, 'unknown') AS segment, count() AS accounts, avg(risk) AS mean_risk,
       sum(mrr_cents) / 100 AS mrr, avg(expected_months) AS months, sum(lifetime_value_cents) / 100 AS lifetime_value
FROM {current("segment", "risk", "mrr_cents", "expected_months", "lifetime_value_cents")}
GROUP BY segment ORDER BY lifetime_value DESC
"""),
            ),
            (
                Field("segment", "segment", width=100, words=tuple(SEGMENTS.items())),
                Field("accounts", "accounts", decimals=0, width=90),
                Field("mean_risk", "mean risk", "percentunit", 0, width=95),
                Field("mrr", "MRR", decimals=0),
                Field("months", "months expected", "none", 0, width=130),
                Field("lifetime_value", "lifetime value", decimals=0),
            ),
        ),
        Panel(
            "How does the mix of customers shift?",
            "Share of active accounts in each segment at each daily tick. Dormant and shrinking that grow come"
            " before cancellations do.",
            "short",
            Kind.TIME_SERIES,
            (
                sql(
                    "SELECT as_of AS time,\n       "
                    + ",\n       ".join(f"countIf(segment = '{segment}') AS {segment}" for segment in SEGMENTS)
                    + f"\nFROM {ticks('segment')}\nGROUP BY time ORDER BY time",
                    Shape.WIDE,
                ),
            ),
            tuple(Field(segment, segment, colour=colour) for segment, colour in SEGMENTS.items()),
            stacked=True,
            as_share=True,
        ),
    ),
)

_METRIC = """
SELECT as_of AS time,
       {columns}
FROM model_metrics FINAL
WHERE $__timeFilter(as_of) AND segment = 'all' AND metric IN ({metrics})
GROUP BY time ORDER BY time
"""


def _metrics(**columns: str) -> str:
    """One column a metric of all accounts, by week."""
    chosen = ",\n       ".join(f"anyIf(value, metric = '{metric}') AS {name}" for name, metric in columns.items())
    return _METRIC.format(columns=chosen, metrics=", ".join(f"'{metric}'" for metric in columns.values()))


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

_OUTCOMES = Section(
    "What became of it",
    (
        Panel(
            "Did the flags come true?",
            "What became of the scores of the last 13 Mondays whose outcome is known by now, by the tier that was"
            " shown then: share that cancelled within the horizon against the share that the risks"
            " expected. Far apart: see calibration on the model dashboard. Whoever was called and stayed counts as"
            " stayed. An account counts once a Monday.",
            "none",
            Kind.TABLE,
            (
                sql(f"""
SELECT tier, count() AS scores, countIf(churned) AS cancelled, cancelled / scores AS share,
       avg(risk) AS expected
FROM {_FLAGGED.format(when=f"as_of > {MATURED} - INTERVAL 91 DAY")}
GROUP BY tier ORDER BY expected DESC
"""),
            ),
            (
                _TIER,
                Field("scores", "scores", decimals=0, width=80),
                Field("cancelled", "cancelled", decimals=0, width=90),
                Field("share", "share", "percentunit", 0, width=80),
                Field("expected", "expected", "percentunit", 0, width=90),
            ),
        ),
        Panel(
            "How many of those flagged left?",
            "Accounts that were high or critical on a Monday, by what they did within the horizon after it. Drawn"
            " at that Monday: the last horizon is empty, since nobody knows yet.",
            "none",
            Kind.TIME_SERIES,
            (
                sql(
                    f"""
SELECT as_of AS time, countIf(churned) AS cancelled, countIf(NOT churned) AS stayed
FROM {_FLAGGED.format(when="$__timeFilter(as_of)")}
WHERE {AT_RISK} GROUP BY time ORDER BY time
""",
                    Shape.WIDE,
                ),
            ),
            (Field("cancelled", "cancelled", colour="red"), Field("stayed", "stayed", colour="green")),
            stacked=True,
            bars=True,
            minimum=0,
        ),
        Panel(
            "How early were cancellations flagged?",
            "Of the MRR that was cancelled in the four weeks before: the share whose account was high at least so"
            " many days ahead. What is flagged a week ahead leaves a week to act.",
            "percentunit",
            Kind.TIME_SERIES,
            (
                sql(
                    _metrics(
                        days_7="mrr_caught_7d_ahead", days_30="mrr_caught_30d_ahead", days_60="mrr_caught_60d_ahead"
                    ),
                    Shape.WIDE,
                ),
            ),
            (
                Field("days_7", "7 days ahead"),
                Field("days_30", "30 days ahead"),
                Field("days_60", "60 days ahead"),
            ),
            width=8,
            minimum=0,
            maximum=1,
        ),
        Panel(
            "How much time do flags leave?",
            "Median days from the first high to the cancellation, of accounts that were high at some time in the"
            " horizon before it; cancellations of the four weeks before.",
            "d",
            Kind.TIME_SERIES,
            (sql(_metrics(median="lead_days_median"), Shape.WIDE),),
            (Field("median", "median lead time"),),
            width=8,
            minimum=0,
            decimals=0,
        ),
        Panel(
            "How many flags were for nothing?",
            "Accounts that became high and did not cancel within the horizon, an account and 30 days. Too many"
            " calls for nothing: raise C360_TIER_HIGH.",
            "none",
            Kind.TIME_SERIES,
            (sql(_metrics(flags="false_flags_per_account_month"), Shape.WIDE),),
            (Field("flags", "false flags an account and month"),),
            width=8,
            minimum=0,
        ),
        Panel(
            "Which playbooks keep accounts?",
            "Contacted accounts by playbook against those that nobody contacted, whole weeks in the time range"
            " whose outcomes are known: share that cancelled with its 95% interval, beside what their risks"
            " expected. Who is called is not drawn by lot: choose a tier above to compare like with like, and trust"
            " no difference within the intervals.",
            "none",
            Kind.TABLE,
            (
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
            ),
            (
                Field("playbook", "playbook"),
                Field("examples", "accounts", decimals=0, width=85),
                Field("cancelled", "cancelled", decimals=0, width=90),
                Field("share", "share", "percentunit", 0, width=75),
                Field("low", "from", "percentunit", 0, width=70),
                Field("high", "to", "percentunit", 0, width=70),
                Field("expected", "expected", "percentunit", 0, width=90),
                Field("mrr_kept", "MRR kept", "locale", 0, width=110),
            ),
            width=14,
        ),
        Panel(
            "Was the predicted value right?",
            "Margin that was predicted for half a year over what came in, by cohort: 1 is right, above it predicts"
            " too much. A value every 30 days, half a year late.",
            "none",
            Kind.TIME_SERIES,
            (sql(_metrics(ratio="value_180d_ratio"), Shape.WIDE),),
            (Field("ratio", "predicted over actual"),),
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

BUSINESS = Dashboard(
    uid="c360-business",
    title="c360: who is about to leave?",
    description="Accounts, MRR, movers, renewals, reasons and outcomes: for customer success.",
    since="now-180d",
    refresh="5m",
    sections=(_GLANCE, _TIERS, _WHO, _WHY_SECTION, _KINDS, _OUTCOMES),
    variables=(
        Variable("tier", "Tier", "Of the lists and the playbooks", ("all", *reversed(TIERS))),
        Variable("segment", "Segment", "Of the lists", ("all", *SEGMENTS)),
    ),
    annotations=(
        Annotation(
            "Champion changes",
            "purple",
            sql(CHAMPION_CHANGES),
        ),
    ),
)
