"""The report: what the figures say, as one self-contained HTML page. It is made from the JSON's figures alone."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from c360_stream.commands.evaluate import tables
from c360_stream.commands.evaluate.criteria import PROMISED_OF
from c360_stream.commands.evaluate.page import bullets, folded, heading, number, page, paragraph, percent
from c360_stream.commands.evaluate.pictures import draw
from c360_stream.commands.evaluate.tiers import EXPLAINED, tier_table

Figures = dict[str, Any]
Scorers = dict[str, dict[str, Figures]]
"""By name and segment: a row of the summary."""
_PEERS = ("lightgbm-28d", "floor", "oracle")


def report(figures: Figures) -> str:
    """The page, from all figures."""
    return page("c360 evaluate", _parts(figures))


def _parts(figures: Figures) -> Iterator[str]:
    worlds, count = figures["worlds"], len(figures["worlds"])
    yield heading(1, "How good are the scores?")
    yield from _verdict(figures)
    kept = sum(row["met"] for row in figures["criteria"])
    if figures["criteria"]:
        yield heading(2, f"What was promised: {kept} of {len(figures['criteria'])} kept")
        yield paragraph(PROMISED_OF, "soft")
        yield tables.verdicts(figures)
    yield heading(2, "Means over the worlds, and their spread" if count > 1 else "All measures")
    yield paragraph(
        "All scorers are judged on the same examples: one an account a week whose outcome is known, by the risk that"
        " was stored at the time. Expected ROC-AUC is that of outcomes drawn from the true risks: chance is no part of"
        " it. Ratios are mean risk over the share that cancelled (happened), and over the mean true risk (true): 60"
        " days of 3,000 accounts have some 150 cancellations that do not depend on each other, so that chance alone"
        " moves the first by 8%. The intervals take examples as independent and are too narrow: one cancellation"
        " settles the labels of some nine weekly examples."
        + (" After \N{PLUS-MINUS SIGN} stands the standard deviation over the worlds." if count > 1 else ""),
        "soft",
    )
    yield tables.summary(figures)
    yield heading(2, "Alarms, recovery and lead time")
    yield paragraph(
        "Recovered: days from the change until the ROC-AUC of 28 days stays at 0.985 of the best these features allow,"
        " or above, by outcomes and as expected from the true risks; in brackets, in how many worlds it ever does.",
        "soft",
    )
    yield tables.run_summary(figures)
    yield heading(2, "Do tiers stay?")
    yield paragraph(EXPLAINED, "soft")
    yield tier_table(figures)
    yield heading(2, "Drift detectors")
    yield paragraph(
        "River's detectors with their defaults, fed with the log loss (DDM: the errors) of every matured label of the"
        f" run {worlds[0]['detectors']['fed_with']}, one after the other. False: all, or those before the change.",
        "soft",
    )
    yield tables.detector_summary(figures)
    yield heading(2, "Worlds" if count > 1 else "The world")
    for place, world in enumerate(worlds):
        yield folded(world["world"]["title"], _world(world, f"w{place}"), unfolded=count == 1)
    yield from _footing(figures)


def _verdict(figures: Figures) -> Iterator[str]:
    """What came out, in plain words: a list a scenario."""
    found: dict[str, dict[str, dict[str, Figures]]] = {}
    for row in figures["summary"]:
        found.setdefault(row["scenario"], {}).setdefault(row["scorer"], {})[row["segment"]] = row
    for scenario, scorers in found.items():
        own = {name: scorers[name] for name in figures["runs"]}
        peers = {name: scorers[name] for name in _PEERS if name in scorers}
        first = next(iter(own.values()))
        count = first["all"]["worlds"]
        yield heading(3, f"{scenario}: {count} world{'' if count == 1 else 's'}")
        told = [_compared(own, peers, segment) for segment in first if segment != "all" or len(first) == 1]
        yield bullets([*told, *_meaning(own)])


def _compared(own: Scorers, peers: Scorers, segment: str) -> str:
    """One sentence: the ROC-AUC of every run in a segment, beside that of the peers."""
    when = "" if segment == "all" else f" {tables.SEGMENT_NAMES[segment]}"
    values = {name: number(one[segment]["roc_auc"]["mean"]) for name, one in own.items() if "roc_auc" in one[segment]}
    if not values:
        return f"ROC-AUC{when}: too few outcomes"
    told = (
        next(iter(values.values())) if len(own) == 1 else ", ".join(f"{name} {each}" for name, each in values.items())
    )
    beside = [
        f"{tables.named(name)} {number(one[segment]['roc_auc']['mean'])}"
        for name, one in peers.items()
        if "roc_auc" in one[segment]
    ]
    return f"ROC-AUC{when}: {'; '.join([told, *([', '.join(beside)] if beside else [])])}"


def _meaning(own: Scorers) -> Iterator[str]:
    for name, segments in own.items():
        ratio, error = segments["all"].get("calibration_ratio"), segments["all"].get("ece")
        if ratio is not None and error is not None:
            whose = f"risks of {name}" if len(own) > 1 else "risks"
            side = "high" if ratio["mean"] > 1.0 else "low"
            off = percent(abs(ratio["mean"] - 1.0))
            yield f"{whose} {off} too {side} on the whole; expected calibration error {number(error['mean'], '.4f')}"


def _world(world: Figures, salt: str) -> Iterator[str]:
    facts = [
        f"{world['first_tick']} to {world['last_tick']}, {world['events']:,} events, {world['refused']:,} refused",
        f"judged: as-ofs from {world['judged_from']} to {world['judged_to']}, {world['examples']:,} examples,"
        f" {world['churners']:,} of them churned within {world['horizon_days']} days",
    ]
    facts += [f"change: {world['change']}"] if world["change"] else []
    facts += [f"without true risks: {world['truth_note']}"] if world["truth_note"] else []
    if world["floor_kinds"]:
        kinds = ", ".join(f"{part} the change: {kind}" for part, kind in world["floor_kinds"].items())
        kinds = kinds if world["change"] else next(iter(world["floor_kinds"].values()))
        facts.append(f"the best these features allow, fitted to the true risks out of fold by account: {kinds}")
    yield bullets(facts)
    yield '<div class="pictures">'
    for picture in draw(world, salt):
        caption = f"<figcaption><b>{escape(picture.title)}</b><span>{escape(picture.caption)}</span></figcaption>"
        svg = picture.svg.replace("<svg", f'<svg role="img" aria-label="{escape(picture.title)}"', 1)
        yield f"<figure>{caption}{svg}</figure>"
    yield "</div>"
    yield from _world_tables(world)


def _world_tables(world: Figures) -> Iterator[str]:
    if any("outage" in one for one in world["runs"].values()):
        yield heading(3, "The outage")
        yield tables.outages(world)
    yield heading(3, "Lead time")
    yield tables.lead(world)
    yield heading(3, "Label maturity")
    yield tables.labels(world)
    yield folded("Measures by segment", [tables.segments(world)], unfolded=False)
    yield folded("Measures by 60 days", [tables.blocks(world)], unfolded=False)
    count = sum(len(one["alarms"]["list"]) for one in world["runs"].values())
    yield folded(f"Alarms: {count}", [tables.alarms(world)], unfolded=False)
    yield folded("Champions and contest", [tables.champions(world), tables.standings(world)], unfolded=False)


def _footing(figures: Figures) -> Iterator[str]:
    yield heading(2, "Settings and machine")
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
