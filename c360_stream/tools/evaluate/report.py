"""The report: the figures as one self-contained HTML page. It is made from the JSON's figures alone.

The page itself is `templates/report.html`, whose style sheet serves light and dark, phones and paper.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from c360_stream.logs.refusals import reason_lines
from c360_stream.tools.evaluate import comparison_tables, tables
from c360_stream.tools.evaluate.pictures import draw
from c360_stream.tools.evaluate.reason_check import reason_table
from c360_stream.tools.evaluate.tiers import tier_table

Figures = dict[str, Any]


def report(figures: Figures) -> str:
    """The page, from all figures."""
    loader = PackageLoader("c360_stream.tools.evaluate")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("report.html").render(
        figures=figures,
        tables=tables,
        comparisons=comparison_tables,
        reason_table=reason_table,
        tier_table=tier_table,
        world_facts=_world_facts,
        measured_on=_measured_on(figures),
        draw=draw,
    )


def _world_facts(world: Figures) -> list[str]:
    """What there was to judge in a world, and what was not."""
    facts = [
        f"{world['first_tick']} to {world['last_tick']}, {world['events']:,} events, {world['refused']:,} refused",
        f"judged: as-ofs from {world['judged_from']} to {world['judged_to']}, {world['examples']:,} examples,"
        f" {world['churners']:,} of them churned within {world['horizon_days']} days",
    ]
    refusals = {(each["topic"], each["exception_message"]): each["dead_letters"] for each in world["refusals"]}
    facts += [f"refused: {line}" for line in reason_lines(Counter(refusals))]
    facts += [f"change: {world['change']}"] if world["change"] else []
    facts += [f"without true risks: {world['truth_note']}"] if world["truth_note"] else []
    if world["floor_kinds"]:
        kinds = ", ".join(f"{part} the change: {kind}" for part, kind in world["floor_kinds"].items())
        kinds = kinds if world["change"] else next(iter(world["floor_kinds"].values()))
        facts.append(f"the best these features allow, fitted to the true risks out of fold by account: {kinds}")
    return facts


def _measured_on(figures: Figures) -> list[str]:
    environment = figures["environment"]
    machine = environment["machine"]
    return [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; {environment['seconds']:.0f} s in"
        f" {environment['processes']} process{'' if environment['processes'] == 1 else 'es'}",
        f"LightGBM: {_listed(figures['lightgbm'])}; the rest as LightGBM has it",
        f"trees of depth 1, by LightGBM too: {_listed(figures['stumps'])}",
    ]


def _listed(values: Figures) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
