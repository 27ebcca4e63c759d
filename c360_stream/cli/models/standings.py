"""`c360 models`: the catalogue, each model's part, and the standings of the contest."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.table import Table

from c360_stream.cli.json_output import print_json
from c360_stream.connectors.clickhouse.connection import connect, lock_holder
from c360_stream.errors import C360Error
from c360_stream.learning.learner import LearningConfig
from c360_stream.models.catalogue import CATALOGUE, Entry, declared_entry, entry_named, without_suffix
from c360_stream.settings import Settings

# The rows of the newest week, and the model that scored its last tick.
_STANDINGS = """
SELECT model_name, anyIf(value, metric = 'log_loss') AS log_loss, anyIf(value, metric = 'gain') AS gain,
       anyIf(value, metric = 'gain_t') AS gain_t, any(examples) AS examples, max(as_of) AS standing_at
FROM model_metrics FINAL
WHERE segment = 'contest' AND as_of = (SELECT max(as_of) FROM model_metrics WHERE segment = 'contest')
GROUP BY model_name
"""
_SCORES = "SELECT model_name FROM risk_scores WHERE trigger = 'tick' ORDER BY as_of DESC LIMIT 1"

# Names of the metrics in `model_metrics`, and how a table shows them.
_FIGURES = {"log_loss": ".4f", "gain": "+.4f", "gain_t": "+.1f"}

Row = dict[str, Any]
Rows = dict[str, Row]


def models(settings: Settings, *, as_json: bool = False) -> None:
    """Print the catalogue as a table or as one JSON object, with what the tables know of each model.

    The standings are left out, with the reason, where there are no tables or another process has them.

    Raises
    ------
    C360Error
        If the tables cannot be read; the catalogue is printed all the same.
    """
    failure: C360Error | None = None
    standings: Rows = {}
    scores, why = "", "no standings"
    try:
        standings, scores, why = _standings(settings)
    except C360Error as error:
        failure = error
    rows = [
        _row(settings, name, scores, standings.get(name))
        for name in dict.fromkeys([*CATALOGUE, *_config(settings).declared, *sorted(standings)])
    ]
    if as_json:
        known = next(iter(standings.values()), {})
        print_json({"as_of": known.get("standing_at"), "models": rows, "note": str(failure or "") or why})
    else:
        _show(rows, why)
    if failure is not None:
        raise failure


def _show(rows: Sequence[Row], why: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("model", "part", "learns"):
        table.add_column(column, no_wrap=True)
    for column in ("log loss", "gain", "t"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in rows:
        # A model without outcomes has no loss yet.
        figures = ["" if row[each] is None else format(row[each], how) for each, how in _FIGURES.items()]
        table.add_row(row["model_name"], row["part"], row["learns"], *figures, row["description"])
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    console.print(
        why
        or "gain: log loss saved per example against the model that scores, where both have predicted; t: in"
        " standard errors, 3 promotes; log loss: of all examples that a model has predicted"
    )


def _row(settings: Settings, name: str, scores: str, standing: Row | None) -> Row:
    fresh = name != without_suffix(name)
    entry = _entry(settings, name)
    own = {"baseline": "never", "blend": "as its parts", "trees": "every 28 days", "declared": "matured"}
    figures = standing or {}
    return {
        "model_name": name,
        "part": _part(settings, name, scores),
        "learns": own.get(entry.kind) or entry.scheme or settings.learning_scheme,
        **{each: figures.get(each) for each in (*_FIGURES, "examples")},
        "description": "the same, begun afresh on the replay buffer" if fresh else entry.description,
    }


def _config(settings: Settings) -> LearningConfig:
    return LearningConfig(
        champion=settings.champion, challengers=settings.challengers, declared_models=settings.declared_models
    )


def _entry(settings: Settings, name: str) -> Entry:
    """The entry of a model, declared or not; one that is no longer declared left only its standing."""
    declared = _config(settings).declared
    if name in declared:
        return declared_entry(name, declared[name].make)
    return entry_named(name) if without_suffix(name) in CATALOGUE else Entry(name, "declared", "no longer declared")


def _part(settings: Settings, name: str, scores: str) -> str:
    config = _config(settings)
    if name == (scores or config.first):
        return "champion" if settings.champion == "auto" else "champion, pinned"
    if name in config.contenders or name != without_suffix(name):
        return "baseline" if _entry(settings, name).kind == "baseline" else "challenger"
    return "not in use"


def _standings(settings: Settings) -> tuple[Rows, str, str]:
    """Figures by model, the model that scored last, and the reason if there are none."""
    directory = Path(urlsplit(settings.dsn).path)
    if settings.embedded_tables and not (directory / "metadata").is_dir():
        return {}, "", "no standings yet: there are no tables"
    if settings.embedded_tables and lock_holder(directory) is not None:
        return {}, "", "no standings: another process has the tables open, such as a run"
    with contextlib.closing(connect(settings.dsn, patience_seconds=0)) as tables:
        if not tables.schema_version():
            return {}, "", "no standings yet: there are no tables; c360 setup makes them"
        rows = {row["model_name"]: row for row in tables.query(_STANDINGS)}
        scored = tables.query(_SCORES)
    return rows, scored[0]["model_name"] if scored else "", ""
