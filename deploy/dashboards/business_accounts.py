"""Business: who, and why."""

from __future__ import annotations

from deploy.dashboards.panel import Field, Section, Threshold, sql
from deploy.dashboards.parts import bars, table
from deploy.dashboards.sql import AT_RISK, NEWEST_TICK, current
from deploy.dashboards.vocabulary import MONEY, SEGMENTS, TIER

_CHOSEN = "('$tier' = 'all' OR tier = '$tier') AND ('$segment' = 'all' OR segment = '$segment')"
_WHY = "tupleElement(reasons[1], 'text')"
_AGAINST = "tupleElement(mitigations[1], 'text')"
# As the tiers begin by default, for the bars of risks.
_RISKY = (Threshold(0.1, "yellow"), Threshold(0.25, "orange"), Threshold(0.5, "red"))
_ACCOUNT = Field("account", "account", width=130)
_RISK = Field("risk", "risk", "percentunit", 0, width=110, gauge=True)
_MRR = Field("mrr", "MRR", "locale", 0, width=100)
_REASON = Field("why", "strongest reason")

WHO = Section(
    "Who",
    (
        table(
            "Who should be called first?",
            "The 50 active accounts with the most MRR at risk, by the tier and segment chosen above. The reason is"
            " what raises the risk most, and beside it stands what lowers it most; risk_scores has more of them,"
            f" and c360 verify rebuilds a score from the events. {MONEY}",
            "none",
            sql(f"""
SELECT account_id AS account, tier, coalesce(segment, '') AS segment, risk,
       mrr_cents / 100 AS mrr, mrr_at_risk_cents / 100 AS mrr_at_risk, expected_months, {_WHY} AS why,
       {_AGAINST} AS against
FROM {current("tier", "segment", "risk", "mrr_cents", "mrr_at_risk_cents", "expected_months", "reasons", "mitigations")}
WHERE {_CHOSEN}
ORDER BY mrr_at_risk DESC NULLS LAST, account LIMIT 50
"""),
            _ACCOUNT,
            TIER,
            Field("segment", "segment", width=100, words=tuple(SEGMENTS.items())),
            _RISK,
            _MRR,
            Field("mrr_at_risk", "MRR at risk", "locale", 0, width=110),
            Field("expected_months", "months expected", "none", 0, width=130),
            _REASON,
            Field("against", "speaks against it"),
            width=24,
            height=10,
            minimum=0,
            maximum=1,
            thresholds=_RISKY,
        ),
        table(
            "Who got riskier within a week?",
            "The 20 largest rises since the daily tick a week before. The reason is the strongest one now. Many at"
            " once on the day of a champion change: the model moved, not they.",
            "none",
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
            _ACCOUNT,
            TIER,
            Field("risk_before", "a week ago", "percentunit", 0, width=95),
            _RISK,
            Field("rise", "rise", "percentunit", 0, width=70),
            _MRR,
            _REASON,
            height=10,
            minimum=0,
            maximum=1,
            thresholds=_RISKY,
        ),
        table(
            "Who might not renew?",
            "Accounts in the tiers medium, high and critical that renew within 90 days, the soonest first. Talk to them"
            " before the renewal does. Accounts whose renewal is not known are not here.",
            "none",
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
            _ACCOUNT,
            Field("days", "days left", "none", 0, width=85),
            TIER,
            _RISK,
            _MRR,
            _REASON,
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

WHY = Section(
    "Why",
    (
        table(
            "What drives the risk of those at risk?",
            "Of the accounts in the tiers high and critical: how often each feature is among the reasons, telling its"
            " topic, and the MRR of these accounts, the most frequent first."
            f" A reason that many share is a case for the product or for pricing, not for single calls. {MONEY}",
            "none",
            sql(f"""
SELECT tupleElement(reason, 'feature') AS feature, uniqExact(account_id) AS accounts,
       accounts / (SELECT countIf({AT_RISK}) FROM {current("tier")}) AS share,
       sum(mrr_cents) / 100 AS mrr, avg(tupleElement(reason, 'contribution')) AS contribution,
       argMax(tupleElement(reason, 'text'), (tupleElement(reason, 'contribution'), account_id)) AS example
FROM {current("tier", "mrr_cents", "reasons")} ARRAY JOIN reasons AS reason
WHERE {AT_RISK}
GROUP BY feature ORDER BY accounts DESC, feature
"""),
            Field("feature", "feature", width=190),
            Field("accounts", "accounts", decimals=0, width=85),
            Field("share", "of those at risk", "percentunit", 0, width=130, gauge=True),
            Field("mrr", "their MRR", "locale", 0, width=100),
            Field("contribution", "log-odds", decimals=2, width=85),
            Field("example", "strongest example"),
            width=14,
            height=9,
            minimum=0,
            maximum=1,
            base_colour="blue",
        ),
        bars(
            "When does how much MRR renew?",
            "MRR by days until renewal: of accounts at risk, and of all others. A tall first bar at risk is this"
            f" month's work. {MONEY}",
            "short",
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
            Field("renews", "renews"),
            Field("at_risk", "at risk", colour="red"),
            Field("others", "others", colour="green"),
            width=10,
            height=9,
            stacked=True,
            minimum=0,
        ),
    ),
)
