"""The rule that scores until enough outcomes are known.

It starts from the churn rate that the settings expect and shifts it, in log-odds, by signs that hold in nearly every
account-based business:

| sign | log-odds |
|---|---|
| silence | -0.3 when active today, 0 at 3 days, +0.6 at 7, +1.2 at 14, +2 from 30; never active +1 |
| active users, week against month | +1.2 at none, 0 when level, -0.2 from half more; no active user in 30 days +0.5 |
| failed payments in 30 days | +0.8 for one, +1.4 from three |
| downgrade in 90 days | +0.6 |
| urgent tickets in 30 days | +0.3 for one, +0.6 from three |

These are judgements, not estimates: they order accounts sensibly, and the model's name marks them.
"""

from __future__ import annotations

from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.models.classifier import logit
from c360_stream.models.version import ModelVersion

MODEL_NAME = "prior-rule"

_CURVES = {
    "days_since_last_activity": Curve((0.0, 3.0, 7.0, 14.0, 30.0), (-0.3, 0.0, 0.6, 1.2, 2.0), 1.0),
    "usage_trend_ratio_7d_30d": Curve((0.0, 1.0, 1.5), (1.2, 0.0, -0.2), 0.5),
    "payment_failures_30d": Curve((0.0, 1.0, 3.0), (0.0, 0.8, 1.4), 0.0),
    "downgraded_90d": Curve((0.0, 1.0), (0.0, 0.6), 0.0),
    "urgent_tickets_30d": Curve((0.0, 1.0, 3.0), (0.0, 0.3, 0.6), 0.0),
}


def inactivity_curves() -> dict[str, Curve]:
    """The part of the rule that looks at silence alone: a baseline that any model should beat."""
    return {"days_since_last_activity": _CURVES["days_since_last_activity"]}


def prior_version(tick_day: int, churn_rate: float, exposures: dict[int, float]) -> ModelVersion:
    """The rule as a model version.

    Parameters
    ----------
    tick_day
        Days since the Unix epoch.
    churn_rate
        Expected share of accounts that cancel within the horizon, between 0 and 1.
    exposures
        As in `ModelVersion`.
    """
    return AdditiveVersion(MODEL_NAME, tick_day, logit(churn_rate), _CURVES, exposures, calibrated=False)
