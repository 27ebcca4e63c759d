"""The examples of a world as they mature: features, outcome, each run's risks, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from c360_stream.errors import ConfigurationError
from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.scoring.scored import ScoredTick
from c360_stream.tools.evaluate.log_replay import ReplayedTick

TRUTH_HORIZON_DAYS = 60
_EPOCH = date(1970, 1, 1).toordinal()
NEVER = np.iinfo(np.int64).max

Floats = NDArray[np.float64]


def day_of(when: date) -> int:
    """Days since the Unix epoch."""
    return when.toordinal() - _EPOCH


def iso(day: int) -> str:
    """The date of a day since the Unix epoch.

    >>> iso(0)
    '1970-01-01'
    """
    return date.fromordinal(int(day) + _EPOCH).isoformat()


@dataclass(slots=True)
class Examples:
    """All matured examples, n rows in canonical order: as-of, then account.

    Parameters
    ----------
    as_of_day
        int64, shape (n,).
    ids
        Account ids.
    features
        float64, shape (n, 21), as stored when the example was taken.
    churned
        bool, shape (n,): the outcome, late cancellations included.
    corrected_day
        int64, shape (n,): the tick at which an outcome that had matured as stayed became churned; else `NEVER`.
    risk
        By run: float64, shape (n,), the stored risk, NaN where there was none.
    true_risk
        float64, shape (n,), or None without truth.
    contenders
        By run and model of its contest: float64, shape (n,), the risk that it gave, NaN where none was kept.
    """

    as_of_day: NDArray[np.int64]
    ids: list[str]
    features: Floats
    churned: NDArray[np.bool_]
    corrected_day: NDArray[np.int64]
    risk: dict[str, Floats]
    true_risk: Floats | None = None
    contenders: dict[str, dict[str, Floats]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def known_churned(self, day: int) -> NDArray[np.bool_]:
        """The outcomes as they were known at a tick."""
        return np.asarray(self.churned & ((self.corrected_day == NEVER) | (self.corrected_day <= day)))


@dataclass(slots=True)
class ExampleLog:
    """Collects examples tick by tick. Memory: 200 bytes per example, and 8 more per run and model of its contest."""

    runs: tuple[str, ...]
    _blocks: list[ExampleBlock] = field(default_factory=list)
    _corrected: list[dict[int, int]] = field(default_factory=list)
    _risk: dict[str, list[Floats]] = field(default_factory=dict)
    _contenders: dict[str, list[dict[str, Floats]]] = field(default_factory=dict)
    _recent: dict[int, int] = field(default_factory=dict)

    def take(
        self, tick: ReplayedTick, scored: Mapping[str, list[ScoredTick]], contenders: Mapping[str, dict[str, Floats]]
    ) -> None:
        """Take the examples that matured at a tick, with each run's risks and those of its contenders."""
        self._correct(tick)
        block = ExampleBlock.merged([part.matured for part in tick.examples])
        if not len(block):
            return
        as_of = int(block.as_of_day[0])
        self._recent[as_of] = len(self._blocks)
        self._recent.pop(as_of - CORRECTION_DAYS - 1, None)
        self._blocks.append(block)
        self._corrected.append({})
        for run in self.runs:
            ids = [account for part in scored[run] for account in part.matured.ids]
            risk = np.concatenate([part.matured.risk for part in scored[run]])
            order = sorted(range(len(ids)), key=ids.__getitem__)
            self._risk.setdefault(run, []).append(risk[order])
            self._contenders.setdefault(run, []).append(contenders[run])

    def _correct(self, tick: ReplayedTick) -> None:
        for part in tick.examples:
            for as_of, account in zip(part.corrected_as_of, part.corrected_ids, strict=True):
                at = self._recent.get(as_of)
                if at is not None:
                    self._corrected[at][self._blocks[at].ids.index(account)] = tick.day

    def examples(self) -> Examples:
        """All of them."""
        whole = ExampleBlock.merged(self._blocks)
        corrected_day = np.full(len(whole), NEVER, np.int64)
        begin = 0
        for block, corrected in zip(self._blocks, self._corrected, strict=True):
            for row, day in corrected.items():
                corrected_day[begin + row] = day
            begin += len(block)
        churned = whole.churned | (corrected_day != NEVER)
        risk = {run: np.concatenate(parts) for run, parts in self._risk.items()}
        contenders = {run: self._of_contenders(parts) for run, parts in self._contenders.items()}
        return Examples(whole.as_of_day, whole.ids, whole.features, churned, corrected_day, risk, contenders=contenders)

    def _of_contenders(self, parts: list[dict[str, Floats]]) -> dict[str, Floats]:
        """Each model's risks over all blocks; one that joined later has none of the earlier ones."""
        missing = [np.full(len(block), np.nan) for block in self._blocks]
        return {
            name: np.concatenate([part.get(name, none) for part, none in zip(parts, missing, strict=True)])
            for name in dict.fromkeys(name for part in parts for name in part)
        }


class _TruthLine(msgspec.Struct):
    account_id: str
    as_of: str
    risk_60d: float


def read_truth(path: Path, examples: Examples) -> Floats:
    """The true risk of each example, float64 of shape (n,); NaN where the file is silent.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or a line is malformed.
    """
    rows = {key: row for row, key in enumerate(zip(examples.as_of_day.tolist(), examples.ids, strict=True))}
    found = np.full(len(examples), np.nan)
    days: dict[str, int] = {}
    decode = msgspec.json.Decoder(_TruthLine).decode
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                one = decode(line)
                if one.as_of not in days:
                    days[one.as_of] = day_of(date.fromisoformat(one.as_of[:10]))
                row = rows.get((days[one.as_of], one.account_id))
                if row is not None:
                    found[row] = one.risk_60d
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", "name a truth file that can be read") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(
            f"{path}, line {number}: {error}", "give the truth.jsonl that c360 simulate wrote beside this log"
        ) from None
    return found
