"""Words that panels share, and their colours."""

from __future__ import annotations

from deploy.dashboards.panel import Field

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
SEVERITIES = (("warning", "orange"), ("critical", "red"))
TIER = Field("tier", "tier", width=90, words=tuple(TIERS.items()))
INTERVAL = (
    Field("low", "95% interval from", colour="gray", dashed=True),
    Field("high", "to", colour="gray", dashed=True),
)

MONEY = "Money is in the currency of the billing events, whole units."
KNOWN = "Measured on stored scores once their outcomes are known, a horizon after they were given."
ESTIMATE = (
    "An early estimate from the scores alone, no outcome in it: never compare it point by point with the measured"
    " figures."
)
