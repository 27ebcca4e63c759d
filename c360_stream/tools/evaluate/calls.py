"""Calls of a team that calls the riskiest tenth every Monday, beside calls of the tenth that is silent longest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import INDEX
from c360_stream.features.emissions import TickRows
from c360_stream.scoring.scored import ScoredTick
from c360_stream.tools.evaluate.clusters import sum_over
from c360_stream.tools.evaluate.judgement import shown

CALLED_SHARE = 0.1
IN_TIME_DAYS = 7
ORDERS = ("model", "rule")
MONDAY = 4  # 1970-01-01, day 0, was a Thursday
_SILENT = INDEX["days_since_last_activity"]

Floats = NDArray[np.float64]


class CallLists:
    """Notes Monday's lists of one run, and who cancels. Memory: 16 bytes for each account called."""

    def __init__(self) -> None:
        self._lists: dict[int, dict[str, list[str]]] = {}
        self._gone: dict[str, list[int]] = {}
        self._last_day = -1

    def take(self, day: int, rows: list[TickRows], scored: list[ScoredTick]) -> None:
        """Take a tick; rows and scores are in the order of the shards."""
        self.note(
            day,
            [account for each in scored for account in each.scores.ids],
            np.concatenate([each.scores.risk for each in scored]),
            np.concatenate([each.features[:, _SILENT] for each in rows]),
            [account for each in scored for account in each.gone],
        )

    def note(self, day: int, ids: list[str], risk: Floats, silent_days: Floats, gone: list[str]) -> None:
        """Take a tick: of each account risk and days since its last activity (NaN if there was none); who has left."""
        self._last_day = day
        for account in gone:
            self._gone.setdefault(account, []).append(day)
        if day % 7 == MONDAY and ids:
            orders = zip(ORDERS, (risk, np.where(np.isnan(silent_days), np.inf, silent_days)), strict=True)
            self._lists[day] = {name: first(ids, order) for name, order in orders}

    def figures(self, judged_from: int, horizon_days: int) -> dict[str, Any]:
        """By order (`model`, `rule`): what became of the calls, and how many cancellations they would have met.

        A call is followed if its account cancels within the horizon. Only Mondays from `judged_from` on whose horizon
        has passed count. A cancellation is caught if its account was on a list within the horizon before it; only those
        whose whole horizon before was judged count. `days` counts the caught by whole days from the first such list.
        `model_above_rule` is the followed share of the model's calls less that of the rule's: `value` and `error`,
        calls of an account taken together; None if it is unknown.
        """
        found = {order: self._of_order(order, judged_from, horizon_days) for order in ORDERS}
        return found | {"model_above_rule": self._gap(judged_from, horizon_days)}

    def _of_order(self, order: str, judged_from: int, horizon_days: int) -> dict[str, Any]:
        lists = {day: set(found[order]) for day, found in self._lists.items() if day >= judged_from}
        whole = {day: called for day, called in lists.items() if day + horizon_days <= self._last_day}
        followed = sum(
            self._followed(account, day, horizon_days) for day, called in whole.items() for account in called
        )
        fresh = [len(called - lists[day - 7]) for day, called in whole.items() if day - 7 in lists]
        days, cancellations = np.zeros(horizon_days + 1, np.int64), 0
        for account, ticks in self._gone.items():
            for tick in ticks:
                if tick < judged_from + horizon_days + 1:
                    continue
                cancellations += 1
                on = [day for day in lists if tick - 1 - horizon_days <= day < tick and account in lists[day]]
                if on:
                    days[tick - 1 - min(on)] += 1
        return {
            "mondays": len(whole),
            "calls": sum(map(len, whole.values())),
            "followed": followed,
            "new_per_monday": sum(fresh) / len(fresh) if fresh else None,
            "cancellations": cancellations,
            "caught": int(days.sum()),
            "days": days.tolist(),
        }

    def _gap(self, judged_from: int, horizon_days: int) -> dict[str, float] | None:
        by_account: dict[str, int] = {}
        calls = 0
        for day, found in self._lists.items():
            if not judged_from <= day <= self._last_day - horizon_days:
                continue
            calls += len(found["model"])
            for order, sign in zip(ORDERS, (1, -1), strict=True):
                for account in found[order]:
                    hit = sign * self._followed(account, day, horizon_days)
                    by_account[account] = by_account.get(account, 0) + hit
        return shown(sum_over(np.array([*by_account.values()], np.float64), calls))

    def _followed(self, account: str, day: int, horizon_days: int) -> bool:
        return any(day < gone <= day + horizon_days for gone in self._gone.get(account, ()))


def first(ids: list[str], order: Floats) -> list[str]:
    """The accounts with the highest tenth of values, at least one; ties by id.

    >>> first(["c", "a", "b"], np.array([0.2, 0.5, 0.5]))
    ['a']
    """
    count = max(1, round(CALLED_SHARE * len(ids)))
    # Only what may be on the list is sorted by id: strings are slow to sort.
    least = np.partition(order, len(order) - count)[len(order) - count]
    near = np.flatnonzero(order >= least)
    ranked = sorted(near.tolist(), key=lambda i: (-order[i], ids[i]))
    return [ids[i] for i in ranked[:count]]
