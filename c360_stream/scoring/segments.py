"""Segments of accounts, by documented rules: what kind of customer an account is at the moment.

| segment | rule, the first that holds |
|---|---|
| `at_risk` | tier high or critical |
| `dormant` | no product activity for 14 days or more, or never |
| `new` | younger than 30 days |
| `shrinking` | MRR went down within 90 days, or active users over 14 days are under 75% of those over 30 |
| `growing` | active users over 14 days are over 125% of those over 30, with a user a day or more |
| `loyal` | older than 180 days and active on 12 days or more of the last 30 |
| `steady` | everybody else |

Rules rather than clusters: a segment means the same next month and can be explained to the person who calls the
customer. How stable they are is measured: the share of accounts whose segment is that of a week before
(`segment_stability`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import INDEX
from c360_stream.models.columns import Floats
from c360_stream.scoring.tiers import HIGH

SEGMENTS: tuple[str, ...] = ("at_risk", "dormant", "new", "shrinking", "growing", "loyal", "steady")
NO_SEGMENT = -1

_SILENT_DAYS = 14
_NEW_DAYS = 30
_LOYAL_AGE_DAYS = 180
_LOYAL_ACTIVE_DAYS = 12
_SHRINKING, _GROWING = 0.75, 1.25


def segments(features: Floats, tier: NDArray[np.int8]) -> NDArray[np.int8]:
    """Segments (index into `SEGMENTS`, int8 of shape (n,)).

    Parameters
    ----------
    features
        Shape (n, 21), NaN for null.
    tier
        Shape (n,): index into `TIERS`.
    """

    def of(name: str) -> Floats:
        return features[:, INDEX[name]]

    silence, usage = of("days_since_last_activity"), of("avg_dau_30d")
    lately = np.divide(of("avg_dau_14d"), usage, out=np.ones(len(features)), where=usage > 0)
    rules = (
        tier >= HIGH,
        np.isnan(silence) | (silence >= _SILENT_DAYS),
        of("account_age_days") < _NEW_DAYS,
        (of("downgraded_90d") > 0) | (lately < _SHRINKING),
        (lately > _GROWING) & (usage >= 1.0),
        (of("account_age_days") > _LOYAL_AGE_DAYS) & (of("active_days_30d") >= _LOYAL_ACTIVE_DAYS),
    )
    return np.asarray(np.select(rules, range(len(rules)), len(rules)), np.int8)
