"""The demo's closing words: whom to call and how much is at stake, how far to trust it, and where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import isnan

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from c360_stream.cli.demo.findings import CALLED_TIERS, CURRENT_DAYS, Findings, Quality, Ranking, Row
from c360_stream.cli.demo.pointers import commands
from c360_stream.cli.setup.creation import topics
from c360_stream.contracts.records import TIERS
from c360_stream.logs.lines import printable
from c360_stream.logs.refusals import reason_lines
from c360_stream.settings import Settings
from c360_stream.tools.simulate import SimulationSpec

ALARMS_SHOWN_PER_KIND = 2
REASONS_SHOWN = 2
OTHERS_SHOWN = 3
LEFT_MIN = 30
"""Customers that left: below this, the figures of quality are mostly luck."""
RATIO_OFF_MAX = 0.15
"""How far the mean risk may be from the share that left."""
STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "warning": "yellow"}


@dataclass(frozen=True)
class Company:
    """The simulated company, and what the flow counted of its events."""

    spec: SimulationSpec
    read: int
    accepted: int
    late: int
    duplicates: int


def print_summary(settings: Settings, company: Company, findings: Findings) -> None:
    """Print the summary to stdout, as wide as the terminal, 80 columns without one."""
    console = Console(highlight=False)
    _headline(console, company.spec, findings)
    _to_call(console, settings, findings)
    _tiers(console, findings)
    _quality(console, company.spec, findings)
    _alarms(console, findings)
    _behind(console, company, findings)
    _next(console, settings, findings)


def _headline(console: Console, spec: SimulationSpec, findings: Findings) -> None:
    """The essentials, for readers of nothing else."""
    last = (
        _day(findings.scores["last"]) if findings.scores["ticks"] else str(spec.start + timedelta(days=spec.days - 1))
    )
    _title(console, f"The customers of a simulated company on {last}")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    for label, text in (
        ("At stake", _at_stake(findings)),
        *(
            ("Call first" if row["tier"] in CALLED_TIERS else "Most at stake", _first(row))
            for row in findings.to_call[:1]
        ),
        ("Trust", _trust(findings.quality)),
        ("Not shown", _not_shown(spec, findings)),
    ):
        table.add_row(label, Text(text))
    console.print(Padding(table, (0, 0, 0, 1), expand=False))


def _at_stake(findings: Findings) -> str:
    tiers, called = findings.tiers, [row for row in findings.tiers if row["tier"] in CALLED_TIERS]
    mrr, at_risk = _total(tiers, "mrr_cents"), _total(tiers, "mrr_at_risk_cents")
    share = f" ({at_risk / mrr:.0%})" if mrr else ""
    count = sum(row["accounts"] for row in called)
    of_these = (
        f"{count:,} at high or critical risk {_pay(count)} {_money(_total(called, 'mrr_cents'))}, of which"
        f" {_money(_total(called, 'mrr_at_risk_cents'))} is at risk."
    )
    return (
        f"{_customers(findings.customers)} {_pay(findings.customers)} {_money(mrr)} a month (MRR, monthly recurring"
        f" revenue). {_money(at_risk)} of it is at risk{share}: each customer's MRR times the risk that they cancel"
        f" within 60 days, summed up. {of_these if count else 'Nobody is at high or critical risk.'}"
    )


def _first(row: Row) -> str:
    reasons = "; ".join(printable(text) for text in row["texts"][:REASONS_SHOWN]) or "No single reason stands out"
    pays = "" if row["mrr_cents"] is None else f", which pays {_money(row['mrr_cents'])} a month"
    return f"{printable(row['account_id'])}{pays}: {row['risk']:.0%} risk that it cancels within 60 days. {reasons}."


def _not_shown(spec: SimulationSpec, findings: Findings) -> str:
    later = spec.accounts - findings.scores["accounts"]
    return (
        f"{spec.accounts - findings.customers:,} of the {spec.accounts:,} accounts that were simulated:"
        f" {findings.gone:,} have cancelled by then, {later:,} had not begun."
    )


def _trust(quality: Quality | None) -> str:
    """One or two sentences on the model's record."""
    if quality is None:
        return "Unknown yet: the first outcomes are known after 60 days."
    if not quality.observed:
        return "Unknown: no customer left in the time that can be checked."
    record = (
        f"Of those ranked among the riskiest 10%, {quality.scores.top:.0%} did leave within 60 days; of all,"
        f" {quality.observed:.1%}. Going by who has been silent longest instead would have found"
        f" {quality.rule.top:.0%}."
    )
    few = f" Only {_customers(quality.left)} left in the time that can be checked: much of this is luck."
    return record + (few if quality.left < LEFT_MIN else "")


def _to_call(console: Console, settings: Settings, findings: Findings) -> None:
    rows = [row for row in findings.to_call if row["tier"] in CALLED_TIERS]
    if rows:
        _title(console, "Whom to call: high or critical risk, most revenue at risk first")
    else:
        _title(console, "Nobody is at high or critical risk; where most revenue is at risk")
        rows = findings.to_call[:OTHERS_SHOWN]
    table = _table("account", "tier", ">risk", ">MRR", ">MRR\nat risk", "why")
    for row in rows:
        held = row["risk"] < _enter(settings, row["tier"])
        table.add_row(
            printable(row["account_id"]),
            _tinted(row["tier"]),
            f"{row['risk']:.0%}" + ("*" if held else ""),
            _money(row["mrr_cents"]),
            _money(row["mrr_at_risk_cents"]),
            Text("\n".join(printable(text) for text in row["texts"][:REASONS_SHOWN])),
        )
    called = [row for row in findings.tiers if row["tier"] in CALLED_TIERS]
    if called and (more := sum(row["accounts"] for row in called) - len(rows)):
        rest = _money(_total(called, "mrr_at_risk_cents") - _total(rows, "mrr_at_risk_cents"))
        table.add_row("", "", "", "", rest, Text(f"{more:,} more at high or critical risk", style="dim"))
    console.print(table)
    for note in _held(settings, rows):
        _print(console, note)


def _held(settings: Settings, rows: list[Row]) -> Iterator[str]:
    """For each tier with a row below the tier's begin: how long such a customer stays in it."""
    held = {row["tier"] for row in rows if row["risk"] < _enter(settings, row["tier"])}
    days = settings.tier_min_days
    for tier in (name for name in reversed(TIERS) if name in held):
        enter = _enter(settings, tier)
        until = f"its risk has been under {enter * (1 - settings.tier_hysteresis):.0%}"
        until += f" for {days} days in a row" if days else ""
        yield f"* {tier} begins at {enter:.0%}; a customer stays {tier} until {until}."


def _enter(settings: Settings, tier: str) -> float:
    """Risk at which a tier begins."""
    return 0.0 if tier == TIERS[0] else float(getattr(settings, f"tier_{tier}"))


def _tiers(console: Console, findings: Findings) -> None:
    _title(console, "All customers by tier")
    table = _table("tier", ">customers", ">mean risk", ">MRR", ">MRR at risk")
    for row in findings.tiers:
        table.add_row(
            _tinted(row["tier"]),
            f"{row['accounts']:,}",
            f"{row['mean_risk']:.1%}",
            _money(row["mrr_cents"]),
            _money(row["mrr_at_risk_cents"]),
        )
    mrr, at_risk = (_total(findings.tiers, name) for name in ("mrr_cents", "mrr_at_risk_cents"))
    table.add_row("all", f"{findings.customers:,}", "", _money(mrr), _money(at_risk), style="bold")
    console.print(table)


def _quality(console: Console, spec: SimulationSpec, findings: Findings) -> None:
    quality = findings.quality
    _title(console, "How good is the model?")
    if quality is None:
        _print(
            console, "No outcome is known yet: it takes 60 days and more. Try --days 365.", _took_over(spec, findings)
        )
        return
    _print(
        console,
        f"Checked on {quality.examples:,} daily scores from {_day(quality.first)} to {_day(quality.last)}, each stored"
        f" before anybody could know who would leave in the 60 days after it; {_customers(quality.left)} did.",
    )
    table = _table("", ">model", ">rule: longest\nsilent first", ">best\npossible")
    orders = (quality.scores, quality.rule, quality.truth)
    table.add_row("left, of the riskiest 10%", *(f"{order.top:.1%}" for order in orders))
    if quality.observed:
        table.add_row("these are, of all who left", *(f"{order.caught:.1%}" for order in orders))
    table.add_row("ROC-AUC", *(_figure(order) for order in orders))
    console.print(table)
    _print(console, *_verdicts(quality), _took_over(spec, findings))


def _verdicts(quality: Quality) -> Iterator[str]:
    yield (
        "ROC-AUC: how often somebody who left was ranked above somebody who stayed; 0.5 is a coin, 1 is perfect. Best"
        " possible: ranked by the true chances that the simulation drew from."
    )
    if not quality.observed:
        yield "Nobody left in that time: too small a world to judge by."
        return
    if quality.left < LEFT_MIN:
        yield f"{quality.predicted:.1%} were expected to leave, {quality.observed:.1%} left: too few to judge by."
        return
    right = abs(quality.predicted / quality.observed - 1) <= RATIO_OFF_MAX
    yield (
        f"The risks {'add up' if right else 'do not add up'}: {quality.predicted:.1%} were expected to leave,"
        f" {quality.observed:.1%} left."
    )


def _took_over(spec: SimulationSpec, findings: Findings) -> str:
    since: datetime | None = findings.scores["learnt_from"]
    if since is None:
        return "A fixed rule scored throughout: the model had not seen enough outcomes to take over."
    day = (since.date() - spec.start).days
    text = f"The learnt model took over from a fixed rule on {_day(since)}, after {day:,} days"
    late = findings.quality is not None and since > findings.quality.first
    return f"{text}; the figures above include scores of the rule." if late else f"{text}."


def _alarms(console: Console, findings: Findings) -> None:
    current = findings.current_alarms
    _title(console, f"Alarms of the last {CURRENT_DAYS} days: {len(current):,}")
    if findings.alarms:
        _print(
            console, "An alarm means that the data or the customers have changed, so that risks may be off for a while."
        )
    table = Table.grid(padding=(0, 2, 0, 0))
    for kind, group in groupby(sorted(current, key=lambda row: (row["kind"], row["as_of"])), lambda row: row["kind"]):
        found = list(group)
        for alarm in found[-ALARMS_SHOWN_PER_KIND:]:
            what = Text.assemble((f"{kind} {printable(alarm['subject'])}\n", "bold"), printable(alarm["detail"]))
            table.add_row(_day(alarm["as_of"]), _tinted(alarm["severity"]), what)
        if more := len(found) - ALARMS_SHOWN_PER_KIND:
            table.add_row("", "", Text(f"and {more:,} more of {kind}", style="dim"))
    if current:
        console.print(Padding(table, (0, 0, 0, 1), expand=False))
    kinds = Counter(row["kind"] for row in findings.alarms) - Counter(row["kind"] for row in current)
    if kinds:
        earlier = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        _print(console, f"Earlier, since {_day(findings.alarms[0]['as_of'])}: {earlier}.")


def _behind(console: Console, company: Company, findings: Findings) -> None:
    spec, scores = company.spec, findings.scores
    _title(console, "What went through")
    _print(
        console,
        f"{spec.accounts:,} accounts, {spec.start} to {spec.start + timedelta(days=spec.days - 1)}, scenario"
        f" {spec.scenario}.",
        f"{company.read:,} events: {company.accepted:,} accepted, {findings.refusals.total():,} refused,"
        f" {company.late:,} late, {company.duplicates:,} duplicates.",
        *(f"Refused: {line}." for line in reason_lines(findings.refusals)),
        f"{scores['ticks']:,} daily scores, and {scores['between']:,} within a day because events moved an account.",
    )


def _next(console: Console, settings: Settings, findings: Findings) -> None:
    out = settings.log_dir
    _title(console, "Where to look next")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("log directory", Text(str(out)))
    table.add_row("topics", Text("\n".join(topics(settings))))
    table.add_row("truth", Text(str(out / "truth.jsonl")))
    table.add_row("tables", Text(settings.dsn))
    console.print(Padding(table, (0, 0, 0, 1), expand=False))
    account = findings.to_call[0]["account_id"] if findings.to_call else None
    for purpose, command in commands(settings, account):
        # Never broken into lines, so that it can be pasted.
        console.print(Text.assemble((f"\n# {purpose}\n", "dim"), command), soft_wrap=True)


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _print(console: Console, *sentences: str) -> None:
    for sentence in sentences:
        console.print(Padding(Text(sentence), (0, 0, 0, 1), expand=False))


def _table(*columns: str) -> Table:
    """A table; the names of columns of numbers start with `>`."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        name = column.lstrip(">")
        table.add_column(name, justify="right" if column != name else "left", no_wrap=name != "why")
    return table


def _tinted(word: str) -> Text:
    return Text(printable(word), style=STYLES.get(word, ""))


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _total(rows: list[Row], name: str) -> float:
    return sum(row[name] or 0 for row in rows)


def _customers(count: int) -> str:
    return f"{count:,} customer{'' if count == 1 else 's'}"


def _pay(count: int) -> str:
    return "pays" if count == 1 else "pay"


def _money(cents: float | None) -> str:
    return "" if cents is None else f"{cents / 100:,.0f}"


def _figure(order: Ranking) -> str:
    return "n/a" if isnan(order.auc) else f"{order.auc:.3f}"
