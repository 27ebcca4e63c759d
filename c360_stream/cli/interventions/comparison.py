"""`c360 interventions`: what became of contacted accounts, by playbook, and which playbook keeps more of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from math import isnan
from pathlib import Path
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from c360_stream.cli.json_output import print_json
from c360_stream.connectors.clickhouse.connection import connect, lock_holder
from c360_stream.labels.contacts import NOT_CONTACTED
from c360_stream.logs.lines import printable
from c360_stream.monitoring.playbooks import (
    Cell,
    Comparison,
    against_not_contacted,
    between_playbooks,
    summaries,
    with_others,
)
from c360_stream.monitoring.quality import wilson_interval
from c360_stream.settings import Settings

# Of more, those with the fewest accounts go by one name: pairs grow with the square.
PLAYBOOKS_MAX = 12
_NAME_CHARACTERS_MAX = 40
_CELLS = """
SELECT playbook, tier, sum(i.accounts) AS accounts, sum(i.churned) AS churned,
       sum(toInt128(i.mrr_cents)) AS mrr_cents, sum(toInt128(i.mrr_churned_cents)) AS mrr_churned_cents,
       sum(i.accounts * i.mean_risk) AS expected_churned
FROM interventions AS i FINAL
GROUP BY playbook, tier
ORDER BY playbook, tier
"""
_WEEKS = "SELECT min(as_of) AS first, max(as_of) AS last FROM interventions"
_CAUTION = (
    "The contacted were chosen by people, so this is no randomised experiment unless playbooks were assigned by chance:"
    " tiers allow for what the scores know, and for nothing else."
)


@dataclass
class _Found:
    """What the tables hold, and why there is nothing."""

    cells: list[Cell] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    why: str = ""


def interventions(settings: Settings, *, as_json: bool) -> None:
    """Print outcomes by playbook and their comparisons, as tables or as one JSON object.

    Where there is nothing to compare, the reason is printed.
    """
    found = _found(settings)
    if as_json:
        print_json(_plain(found))
        return
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if found.first is None or found.last is None:
        console.print(found.why)
        return
    console.print(
        f"Accounts scored in the weeks to {found.first:%Y-%m-%d} .. {found.last:%Y-%m-%d}, and what became of"
    )
    console.print(f"them within {settings.horizon_days} days. Each counts once a horizon, as contacted or not.\n")
    console.print(_groups_table(found.cells))
    against, between = against_not_contacted(found.cells), between_playbooks(found.cells)
    for title, comparisons in (("Against accounts that were not contacted", against), ("Among each other", between)):
        if comparisons:
            console.print(title)
            console.print(_comparison_table(comparisons))
    for line in [*_explanations([*against, *between]), _CAUTION]:
        console.print(Text(line))


def _groups_table(cells: Sequence[Cell]) -> Table:
    table = _table("playbook", "accounts", "churned", "retention", "95% interval", "expected", "MRR kept")
    for group in summaries(cells):
        table.add_row(
            _name(group.playbook),
            f"{group.accounts:,}",
            f"{group.churned:,}",
            _share(group.retention),
            f"{_share(group.retention_low)} to {_share(group.retention_high)}",
            _share(group.expected_retention),
            _share(group.mrr_kept),
        )
    return table


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    table = _table("playbook", "against", "accounts", "each needs", "", "lift", "95% interval", "p")
    for each in comparisons:
        table.add_row(
            _name(each.playbook),
            _name(each.against),
            f"{each.accounts:,} and {each.against_accounts:,}",
            f"{each.accounts_min:,}",
            "too few" if each.too_small else "",
            _points(each.lift),
            "-" if isnan(each.lift_low) else f"{_points(each.lift_low)} to {_points(each.lift_high)}",
            _p_value(each.p_value),
        )
    return table


def _explanations(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        "lift: retention less that of the other group, in points, within tiers and then averaged (Mantel-Haenszel). "
        "p: Cochran-Mantel-Haenszel.",
        "each needs: accounts in tiers of both groups, to show a difference of 5 points (at 5%, with a power of 80%).",
    ]
    too_few = sum(each.too_small for each in comparisons)
    if too_few:
        lines.append(f"Warning: {too_few} of {len(comparisons)} comparisons have too few accounts to show that much.")
    if len(comparisons) > 1:
        lines.append(
            f"Of comparisons without any effect one in twenty falls below 0.05: of these {len(comparisons)}, trust a p "
            f"below {0.05 / len(comparisons):.4f}."
        )
    return lines


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in {"playbook", "against"} else "right", no_wrap=True)
    return table


def _name(playbook: str) -> Text:
    """A name from outside, not to be taken for markup."""
    return Text(printable(playbook)[:_NAME_CHARACTERS_MAX] if playbook != NOT_CONTACTED else "not contacted")


def _share(value: float) -> str:
    return "-" if isnan(value) else f"{value:.1%}"


def _points(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:+.1f}"


def _p_value(value: float) -> str:
    if isnan(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _plain(found: _Found) -> dict[str, object]:
    """What `--json` prints."""
    against, between = against_not_contacted(found.cells), between_playbooks(found.cells)
    return {
        "first_week": found.first and f"{found.first:%Y-%m-%d}",
        "last_week": found.last and f"{found.last:%Y-%m-%d}",
        "groups": [asdict(group) for group in summaries(found.cells)],
        "by_tier": [
            asdict(cell) | dict(zip(("churn_rate_low", "churn_rate_high"), _churn_interval(cell), strict=True))
            for cell in found.cells
        ],
        "against_not_contacted": [asdict(each) | {"too_small": each.too_small} for each in against],
        "between_playbooks": [asdict(each) | {"too_small": each.too_small} for each in between],
        "caution": found.why or _CAUTION,
    }


def _churn_interval(cell: Cell) -> tuple[float, float]:
    return wilson_interval(cell.churned, cell.accounts)


def _found(settings: Settings) -> _Found:
    """Outcomes of all weeks together."""
    directory = Path(urlsplit(settings.dsn).path)
    if settings.embedded_tables and not (directory / "metadata").is_dir():
        return _Found(why="no outcomes yet: there are no tables")
    if settings.embedded_tables and lock_holder(directory) is not None:
        return _Found(why="no outcomes: another process has the tables open, such as a run")
    with contextlib.closing(connect(settings.dsn, patience_seconds=0)) as tables:
        rows, (weeks,) = tables.query(_CELLS), tables.query(_WEEKS)
    if not rows:
        return _Found(why="no outcomes yet: they are known a horizon after a week of scores")
    cells = with_others((Cell(**row) for row in rows), PLAYBOOKS_MAX)
    return _Found(cells, weeks["first"], weeks["last"])
