"""Who is about to leave, and what is it worth? For customer success and planning; ClickHouse only."""

from __future__ import annotations

from deploy.dashboards.business_accounts import WHO, WHY
from deploy.dashboards.business_outcomes import OUTCOMES
from deploy.dashboards.panel import Annotation, Dashboard, Field, Section, Variable, sql
from deploy.dashboards.parts import lines, sql_stat, table, wide
from deploy.dashboards.sql import AT_RISK, CHAMPION_CHANGES, current, ticks
from deploy.dashboards.vocabulary import MONEY, SEGMENTS, TIER, TIERS

_TIER_FIELDS = tuple(Field(tier, tier, colour=colour) for tier, colour in TIERS.items())


def _by_tier(what: str) -> str:
    columns = ",\n       ".join(f"{what.format(tier=tier)} AS {tier}" for tier in TIERS)
    scores = ticks("tier", "mrr_cents", "mrr_at_risk_cents")
    return f"SELECT as_of AS time,\n       {columns}\nFROM {scores}\nGROUP BY time ORDER BY time"


_GLANCE = Section(
    "At a glance",
    (
        sql_stat(
            "How fresh is this page?",
            "When the newest score that the page shows was taken. Scores are renewed at every midnight UTC and in"
            " between as events move an account:"
            " older than a day and a few hours, and the operations dashboard shows why.",
            "dateTimeFromNow",
            "SELECT toUnixTimestamp64Milli(max(as_of)) AS newest FROM risk_scores WHERE as_of <= $__toTime"
            " HAVING count() > 0",
        ),
        sql_stat(
            "Do events still reach these tables?",
            "When the newest heartbeat was sent that came through the whole flow into these tables, of the input"
            " partition where that is longest ago. Minutes: what happened until then is in the scores. Longer: inform"
            " its operators.",
            "dateTimeFromNow",
            """
SELECT toUnixTimestamp64Milli(min(newest)) AS oldest
FROM (SELECT max(sent_at) AS newest FROM heartbeats FINAL WHERE sent_at <= $__toTime GROUP BY topic, partition)
HAVING count() > 0
""",
            live_only=True,
            no_value="no heartbeats",
        ),
        sql_stat(
            "How many accounts are there?",
            "Accounts with an active subscription at the end of the time range.",
            "locale",
            f"SELECT count() AS accounts FROM {current()}",
            width=3,
        ),
        sql_stat(
            "How many are at risk?",
            "Accounts in the tiers high and critical: likely enough to cancel within the horizon that somebody"
            " should look. The list below shows who.",
            "locale",
            f"SELECT countIf({AT_RISK}) AS accounts FROM {current('tier')}",
            base_colour="orange",
            width=3,
        ),
        sql_stat(
            "How much MRR is there?",
            f"Monthly recurring revenue of all active accounts. {MONEY}",
            "short",
            f"SELECT sum(mrr_cents) / 100 AS mrr FROM {current('mrr_cents')}",
            decimals=1,
            width=3,
        ),
        sql_stat(
            "How much MRR is likely to go?",
            "Each account's MRR times its risk, summed: what can be expected to be cancelled within the horizon if"
            f" nobody does anything. {MONEY}",
            "short",
            f"SELECT sum(mrr_at_risk_cents) / 100 AS mrr FROM {current('mrr_at_risk_cents')}",
            base_colour="orange",
            decimals=1,
            width=3,
        ),
        sql_stat(
            "What are the accounts worth?",
            f"Margin expected of all active accounts over their lifetime, discounted. {MONEY}",
            "short",
            f"SELECT sum(lifetime_value_cents) / 100 AS value FROM {current('lifetime_value_cents')}",
            decimals=1,
        ),
    ),
)

_TIERS = Section(
    "Accounts and MRR by tier",
    (
        table(
            "How do accounts and MRR spread over the tiers?",
            "Active accounts now. MRR at risk is MRR times risk. A large MRR in critical with few accounts: call"
            f" each of them. {MONEY}",
            "locale",
            sql(f"""
SELECT tier, count() AS accounts, avg(risk) AS mean_risk, sum(mrr_cents) / 100 AS mrr,
       sum(mrr_at_risk_cents) / 100 AS mrr_at_risk, sum(lifetime_value_cents) / 100 AS lifetime_value
FROM {current("tier", "risk", "mrr_cents", "mrr_at_risk_cents", "lifetime_value_cents")}
GROUP BY tier ORDER BY mean_risk DESC
"""),
            TIER,
            Field("accounts", "accounts", decimals=0, width=90),
            Field("mean_risk", "mean risk", "percentunit", 0, width=95),
            Field("mrr", "MRR", decimals=0),
            Field("mrr_at_risk", "MRR at risk", decimals=0),
            Field("lifetime_value", "lifetime value", decimals=0),
        ),
        lines(
            "Does the MRR that is likely to go grow?",
            "MRR times risk, by tier, at each daily tick. A step on one day across all tiers is more often the"
            f" model than the customers: see its champion changes. {MONEY}",
            "short",
            wide(_by_tier("sumIf(ifNull(mrr_at_risk_cents, 0), tier = '{tier}') / 100")),
            *_TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
        lines(
            "How do the tiers develop?",
            "Active accounts by tier at each daily tick. Growing tiers high and critical ask for more calls, or"
            " for a look at what changed for everybody.",
            "short",
            wide(_by_tier("countIf(tier = '{tier}')")),
            *_TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
        lines(
            "How does MRR develop by tier?",
            f"MRR of active accounts by tier at each daily tick. {MONEY}",
            "short",
            wide(_by_tier("sumIf(ifNull(mrr_cents, 0), tier = '{tier}') / 100")),
            *_TIER_FIELDS,
            stacked=True,
            minimum=0,
        ),
    ),
)

_KINDS = Section(
    "Kinds of customers",
    (
        table(
            "What kinds of customers are there, and what are they worth?",
            "Active accounts by segment: at_risk (tier high or critical), dormant (silent for 14 days), new,"
            " shrinking, growing, loyal, steady. Months are those until the account is expected"
            f" to cancel, lifetime value the margin until then, discounted. {MONEY}",
            "locale",
            sql(f"""
SELECT coalesce(segment, 'unknown') AS segment, count() AS accounts, avg(risk) AS mean_risk,
       sum(mrr_cents) / 100 AS mrr, avg(expected_months) AS months, sum(lifetime_value_cents) / 100 AS lifetime_value
FROM {current("segment", "risk", "mrr_cents", "expected_months", "lifetime_value_cents")}
GROUP BY segment ORDER BY lifetime_value DESC
"""),
            Field("segment", "segment", width=100, words=tuple(SEGMENTS.items())),
            Field("accounts", "accounts", decimals=0, width=90),
            Field("mean_risk", "mean risk", "percentunit", 0, width=95),
            Field("mrr", "MRR", decimals=0),
            Field("months", "months expected", "none", 0, width=130),
            Field("lifetime_value", "lifetime value", decimals=0),
        ),
        lines(
            "How does the mix of customers shift?",
            "Share of active accounts in each segment at each daily tick. Dormant and shrinking that grow come"
            " before cancellations do.",
            "short",
            wide(
                "SELECT as_of AS time,\n       "
                + ",\n       ".join(f"countIf(segment = '{segment}') AS {segment}" for segment in SEGMENTS)
                + f"\nFROM {ticks('segment')}\nGROUP BY time ORDER BY time"
            ),
            *tuple(Field(segment, segment, colour=colour) for segment, colour in SEGMENTS.items()),
            stacked=True,
            as_share=True,
        ),
    ),
)

BUSINESS = Dashboard(
    uid="c360-business",
    title="c360: who is about to leave?",
    description="Accounts, MRR, movers, renewals, reasons and outcomes: for customer success.",
    since="now-180d",
    refresh="5m",
    sections=(_GLANCE, _TIERS, WHO, WHY, _KINDS, OUTCOMES),
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
