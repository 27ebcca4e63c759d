"""How predicted values of accounts compare with what came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from c360_stream.models.horizons import DAYS_PER_MONTH
from c360_stream.monitoring.quality import Measure

# Predictions are held against what came in over half a year, one cohort every 30 days.
CHECK_MONTHS = 6
CHECK_DAYS = CHECK_MONTHS * DAYS_PER_MONTH


class ValueCheck(NamedTuple):
    """A cohort half a year on: accounts, and in whole cents what was predicted, what came in, and the sum of errors."""

    accounts: int
    predicted_cents: int
    realised_cents: int
    absolute_error_cents: int

    @classmethod
    def merged(cls, parts: Sequence[ValueCheck]) -> ValueCheck | None:
        """All parts as one; None of none."""
        return cls(*map(sum, zip(*parts, strict=True))) if parts else None

    def measures(self) -> list[Measure]:
        """Predicted over realised value, and the mean error of an account as a share of the mean realised value."""
        if not self.realised_cents:
            return []
        ratio, error = (each / self.realised_cents for each in (self.predicted_cents, self.absolute_error_cents))
        return [
            Measure("all", f"value_{CHECK_DAYS}d_ratio", ratio, self.accounts),
            Measure("all", f"value_{CHECK_DAYS}d_error_share", error, self.accounts),
        ]
