"""What treated examples teach: those of accounts that somebody contacted after the as-of.

- `keep`: the same as all others. Risks are those of accounts that are contacted as often as they have been.
- `leave_out`: nothing. They count as outcomes, and models are judged by them.
- `weight`: part of what an example teaches, classifier and calibration alike. Means and deviations take them whole,
  since they describe the accounts that will be scored.
- `model`: the classifier has a column more, 1 for them and 0 for the others, not scaled. Scores are those of accounts
  that nobody is going to contact.

Calibrations that are learnt from predictions at the as-of leave treated examples out under `model` too: these were
predictions for accounts that nobody would contact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.models.columns import Floats
from c360_stream.models.names import TreatedPolicy

TREATED = "treated"
"""Name of the column."""
Treated = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Treatment:
    """The policy of the settings.

    Parameters
    ----------
    policy
        One of those above.
    weight
        What a treated example counts under `weight`, 0 to 1.

    Examples
    --------
    >>> treated = np.array([False, True])
    >>> Treatment("weight", 0.5).importance(treated).tolist()
    [1.0, 0.5]
    >>> Treatment("leave_out", 0.5).teaching(treated).tolist()
    [0]
    """

    policy: TreatedPolicy
    weight: float

    @property
    def columns(self) -> tuple[str, ...]:
        """What the classifier's rows have besides the features."""
        return (TREATED,) if self.policy == "model" else ()

    def teaching(self, treated: Treated) -> NDArray[np.intp]:
        """Places of the examples that teach, ascending; `treated` is of shape (n,)."""
        return np.flatnonzero(~treated) if self.policy == "leave_out" else np.arange(len(treated))

    def calibrating(self, treated: Treated) -> NDArray[np.intp]:
        """Places of the examples that show whether the prediction at their as-of was right, ascending."""
        return np.flatnonzero(~treated) if self.policy == "model" else self.teaching(treated)

    def importance(self, treated: Treated) -> Floats:
        """How many examples each counts for, shape (n,)."""
        return np.where(treated, self.weight if self.policy == "weight" else 1.0, 1.0)

    def with_columns(self, rows: Floats, treated: Treated) -> Floats:
        """Rows as the classifier takes them, shape (n, columns)."""
        return np.column_stack([rows, treated]) if self.columns else rows
