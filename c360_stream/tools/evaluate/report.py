"""The report: what the figures say, as one self-contained HTML page. It is made from the JSON's figures alone.

First the verdict in words, then what it rests on, then details, and last the project's own limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any

from c360_stream.logs.refusals import reason_lines
from c360_stream.tools.evaluate import reason_check, tables
from c360_stream.tools.evaluate.criteria import LIMITS_OF
from c360_stream.tools.evaluate.page import bullets, folded, heading, page, paragraph
from c360_stream.tools.evaluate.pictures import draw
from c360_stream.tools.evaluate.tiers import EXPLAINED, tier_table

Figures = dict[str, Any]
_LOOKS = {"act": "good", "worse_than_rule": "bad", "chance": "bad"}
_SECTIONS = (
    ("ranking", "Does it put the right accounts first?"),
    ("probabilities", "Are the percentages right?"),
    ("calls", "What if we call the riskiest 10% every Monday?"),
    ("limits", "What is it not good enough for?"),
    ("basis", "How is this known?"),
)


def report(figures: Figures) -> str:
    """The page, from all figures."""
    return page("c360 evaluate", _parts(figures))


def _parts(figures: Figures) -> Iterator[str]:
    yield heading(1, "Is it good enough to act on, and how is that known?")
    yield from _verdicts(figures)
    yield from _quality(figures)
    yield from reason_check.section(figures)
    yield heading(2, "Do tiers stay?")
    yield paragraph(EXPLAINED, "soft")
    yield tier_table(figures)
    yield from _details(figures)
    yield from _limits(figures)
    yield from _footing(figures)


def _verdicts(figures: Figures) -> Iterator[str]:
    """In full for one; for several a table of them first."""
    found = figures["verdicts"]
    if len(found) == 1:
        yield from _verdict(found[0])
        return
    yield tables.verdicts(figures)
    for place, one in enumerate(found):
        worlds = f"{one['worlds']} world{'' if one['worlds'] == 1 else 's'}"
        yield folded(f"{one['scenario']}, {one['run']}: {worlds}", _verdict(one), unfolded=place == 0)


def _verdict(verdict: Figures) -> Iterator[str]:
    yield paragraph(verdict["headline"], f"verdict {_LOOKS.get(verdict['grade'], '')}".rstrip())
    for key, title in _SECTIONS:
        yield heading(3, title)
        yield bullets(verdict[key])
        if key == "probabilities" and verdict["bands"]:
            yield tables.bands(verdict)


def _quality(figures: Figures) -> Iterator[str]:
    worlds, count = figures["worlds"], len(figures["worlds"])
    yield heading(2, "Quality, in pictures and figures")
    for place, world in enumerate(worlds):
        pictures = _pictures(world, f"w{place}", quality=True)
        if count == 1:
            yield from pictures
        else:
            yield folded(world["world"]["title"], pictures, unfolded=place == 0)
    yield heading(3, "Means over the worlds, and their spread" if count > 1 else "All measures")
    yield paragraph(
        "All scorers are judged on the same examples: one an account a week whose outcome is known, by the risk that"
        " was stored at the time. Expected ROC-AUC is that of outcomes drawn from the true risks: chance is no part of"
        " it. Ratios are mean risk over the share that cancelled (happened), and over the mean true risk (true): 60"
        " days of 3,000 accounts have some 150 cancellations that do not depend on each other, so that chance alone"
        " moves the first by 8%."
        + (" After \N{PLUS-MINUS SIGN} stands the standard deviation over the worlds." if count > 1 else ""),
        "soft",
    )
    yield tables.summary(figures)
    yield heading(3, "Alarms, recovery and lead time")
    yield paragraph(
        "Recovered: days from the change until the ROC-AUC of 28 days stays at 0.985 of the best these features allow,"
        " or above, by outcomes and as expected from the true risks; in brackets, in how many worlds it ever does.",
        "soft",
    )
    yield tables.run_summary(figures)


def _details(figures: Figures) -> Iterator[str]:
    worlds, count = figures["worlds"], len(figures["worlds"])
    yield heading(2, "Details")
    for place, world in enumerate(worlds):
        yield folded(world["world"]["title"], _world(world, f"w{place}"), unfolded=count == 1)
    yield heading(3, "Drift detectors")
    yield paragraph(
        "River's detectors with their defaults, fed with the log loss (DDM: the errors) of every matured label of the"
        f" run {worlds[0]['detectors']['fed_with']}, one after the other. False: all, or those before the change.",
        "soft",
    )
    yield tables.detector_summary(figures)


def _world(world: Figures, salt: str) -> Iterator[str]:
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
    yield bullets(facts)
    yield from _pictures(world, salt, quality=False)
    yield from _world_tables(world)


def _pictures(world: Figures, salt: str, *, quality: bool) -> Iterator[str]:
    yield '<div class="pictures">'
    for picture in draw(world, salt, quality=quality):
        caption = f"<figcaption><b>{escape(picture.title)}</b><span>{escape(picture.caption)}</span></figcaption>"
        svg = picture.svg.replace("<svg", f'<svg role="img" aria-label="{escape(picture.title)}"', 1)
        yield f"<figure>{caption}{svg}</figure>"
    yield "</div>"


def _world_tables(world: Figures) -> Iterator[str]:
    if any("outage" in one for one in world["runs"].values()):
        yield heading(3, "The outage")
        yield tables.outages(world)
    yield heading(3, "Lead time")
    yield tables.lead(world)
    yield heading(3, "Label maturity")
    yield tables.labels(world)
    yield paragraph(
        "The intervals of these tables take examples as independent and are too narrow: one cancellation settles the"
        " labels of some nine weekly examples. Those of the verdict take all examples of an account together.",
        "soft",
    )
    yield folded("Measures by segment", [tables.segments(world)], unfolded=False)
    yield folded("Measures by 60 days", [tables.blocks(world)], unfolded=False)
    count = sum(len(one["alarms"]["list"]) for one in world["runs"].values())
    yield folded(f"Alarms: {count}", [tables.alarms(world)], unfolded=False)
    yield folded("Champions and contest", [tables.champions(world), tables.standings(world)], unfolded=False)


def _limits(figures: Figures) -> Iterator[str]:
    if not figures["criteria"]:
        return
    kept = sum(row["met"] for row in figures["criteria"])
    yield heading(2, "Appendix: the project's own limits")
    yield paragraph(f"{LIMITS_OF} {kept} of {len(figures['criteria'])} kept here.", "soft")
    yield tables.limits(figures)


def _footing(figures: Figures) -> Iterator[str]:
    yield heading(2, "Appendix: settings and machine")
    environment = figures["environment"]
    machine = environment["machine"]
    peer = ", ".join(f"{name}={value}" for name, value in figures["lightgbm"].items())
    yield bullets(
        [
            f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; {environment['seconds']:.0f} s in"
            f" {environment['processes']} process{'' if environment['processes'] == 1 else 'es'}",
            f"LightGBM: {peer}; the rest as LightGBM has it",
        ]
    )
    yield folded("Settings of the runs", tables.settings(figures), unfolded=False)
