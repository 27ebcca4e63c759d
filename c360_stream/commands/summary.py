"""The demo's closing words: what a product manager wants to know, and where to look next."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import isnan
from pathlib import Path

from pydantic import SecretStr
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from c360_stream.commands import printable
from c360_stream.commands.findings import Findings, Quality, Row
from c360_stream.commands.setup import topics
from c360_stream.errors import ConfigurationError
from c360_stream.settings import Settings, load_settings
from c360_stream.simulation import SimulationSpec

ALARMS_SHOWN_PER_KIND = 2
STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "warning": "yellow"}
# What changes the input, the tables or the features: commands that are to find the demo's need the demo's.
_PINNED = ("clickhouse_dsn", "topic_prefix", "input_prefix", "core_actions", "category_prefixes", "dedupe_hours")
_QUERY = "SELECT account_id, tier, round(risk, 2) FROM risk_active ORDER BY risk DESC LIMIT 5"


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
    _company(console, company, findings)
    _riskiest(console, findings)
    _tiers(console, findings.tiers)
    _quality(console, company.spec, findings)
    _alarms(console, findings.alarms)
    _next(console, settings, findings)


def _company(console: Console, company: Company, findings: Findings) -> None:
    spec, scores = company.spec, findings.scores
    last = spec.start + timedelta(days=spec.days - 1)
    _title(console, "The company")
    _say(
        console,
        f"{spec.accounts:,} accounts, {spec.start} to {last}, scenario {spec.scenario} ({spec.world.description}).",
        f"{company.read:,} events: {company.accepted:,} accepted, {findings.dead_letters:,} refused (dead letters), "
        f"{company.late:,} late, {company.duplicates:,} duplicates.",
        f"{scores['ticks']:,} daily scores, and {scores['between']:,} within a day because events moved an account.",
    )


def _riskiest(console: Console, findings: Findings) -> None:
    _title(console, f"Riskiest accounts on {_day(findings.scores['last'])}: probability to cancel within 60 days")
    table = _table("account", "tier", ">risk", ">MRR at risk", "why")
    for row in findings.riskiest:
        table.add_row(
            printable(row["account_id"]),
            _tinted(row["tier"]),
            f"{row['risk']:.0%}",
            _money(row["mrr_at_risk_cents"]),
            Text("\n".join(printable(text) for text in row["texts"])),
        )
    console.print(table)


def _tiers(console: Console, tiers: list[Row]) -> None:
    _title(console, "Active accounts by tier (MRR at risk: MRR times risk)")
    table = _table("tier", ">accounts", ">mean risk", ">MRR", ">MRR at risk")
    for row in tiers:
        table.add_row(
            _tinted(row["tier"]),
            f"{row['accounts']:,}",
            f"{row['mean_risk']:.1%}",
            _money(row["mrr_cents"]),
            _money(row["mrr_at_risk_cents"]),
        )
    at_risk_cents = sum(row["mrr_at_risk_cents"] or 0 for row in tiers)
    table.add_row(
        "all",
        f"{sum(row['accounts'] for row in tiers):,}",
        "",
        _money(sum(row["mrr_cents"] or 0 for row in tiers)),
        _money(at_risk_cents),
        style="bold",
    )
    console.print(table)


def _quality(console: Console, spec: SimulationSpec, findings: Findings) -> None:
    quality = findings.quality
    _title(console, "How good is the model?")
    if quality is None:
        _say(console, "No outcome is known yet: it takes 60 days and more. Try --days 365.", _took_over(spec, findings))
        return
    _say(
        console,
        f"Out of sample: {quality.examples:,} daily scores from {_day(quality.first)} to {_day(quality.last)} (the "
        "last third of those whose outcome is known), each stored before anybody could know who would cancel in the "
        "60 days after it. The truth is the probability that the simulation drew from: nothing does better on average.",
    )
    table = _table("", ">scores", ">truth", ">happened")
    for name, *values in _measures(quality):
        table.add_row(name, *values)
    console.print(table)
    _say(console, *_verdicts(quality), _took_over(spec, findings))


def _measures(quality: Quality) -> Iterator[tuple[str, str, str, str]]:
    yield "ROC-AUC against what happened", _figure(quality.auc), _figure(quality.true_auc), ""
    yield "mean risk; share that churned", f"{quality.predicted:.1%}", f"{quality.true:.1%}", f"{quality.observed:.1%}"
    yield "churned among the riskiest 10%", f"{quality.top:.1%}", f"{quality.true_top:.1%}", ""
    yield "rank agreement with the truth (Spearman)", _figure(quality.agreement), "", ""


def _verdicts(quality: Quality) -> Iterator[str]:
    if not quality.observed:
        yield "Nobody churned in that time: too small a world to judge by."
        return
    ratio, lift = quality.predicted / quality.observed, quality.top / quality.observed
    yield f"Calibration ratio {ratio:.2f} (mean risk / share that churned; 1 is right)."
    yield f"Lift {lift:.1f}: the riskiest 10% churned {lift:.1f} times as often as all."


def _took_over(spec: SimulationSpec, findings: Findings) -> str:
    since: datetime | None = findings.scores["learnt_from"]
    if since is None:
        return "The prior rule scored throughout: the model had not seen enough outcomes to take over."
    day = (since.date() - spec.start).days
    text = f"The learnt model took over from the prior rule on {_day(since)}, after {day:,} days"
    late = findings.quality is not None and since > findings.quality.first
    return f"{text}; the figures above include scores of the rule." if late else f"{text}."


def _alarms(console: Console, alarms: list[Row]) -> None:
    _title(console, f"Drift and data-quality alarms: {len(alarms):,}")
    if not alarms:
        _say(console, "None.")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for kind, group in groupby(sorted(alarms, key=lambda row: (row["kind"], row["as_of"])), lambda row: row["kind"]):
        found = list(group)
        # The last ones: at first everything is new to a young company and a model without outcomes.
        shown = found[-ALARMS_SHOWN_PER_KIND:]
        for alarm in shown:
            what = Text.assemble((f"{kind} {printable(alarm['subject'])}\n", "bold"), printable(alarm["detail"]))
            table.add_row(_day(alarm["as_of"]), _tinted(alarm["severity"]), what)
        if more := len(found) - len(shown):
            table.add_row("", "", Text(f"and {more:,} more of {kind} since {_day(found[0]['as_of'])}", style="dim"))
    console.print(Padding(table, (0, 0, 0, 1), expand=False))


def _next(console: Console, settings: Settings, findings: Findings) -> None:
    out = settings.log_dir
    _title(console, "Where to look next")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("log directory", Text(str(out)))
    table.add_row("topics", Text("\n".join(topics(settings))))
    table.add_row("truth", Text(str(out / "truth.jsonl")))
    table.add_row("tables", Text(settings.dsn))
    console.print(Padding(table, (0, 0, 0, 1), expand=False))
    for purpose, command in _commands(settings, findings.riskiest):
        # Never broken into lines, so that it can be pasted.
        console.print(Text.assemble((f"\n# {purpose}\n", "dim"), command), soft_wrap=True)


def _commands(settings: Settings, riskiest: list[Row]) -> Iterator[tuple[str, str]]:
    """Commands that work when pasted into the shell that ran the demo, and what they are for."""
    where = f"--log-dir {shlex.quote(str(settings.log_dir))}"
    start = " ".join([*_pins(settings), _program()])
    yield "the board", f"{start} top --once {where}"
    for row in riskiest[:1]:
        yield (
            "rebuild a score from the event log and compare it with the stored one",
            f"{start} verify {shlex.quote(row['account_id'])} {where}",
        )
    script = (
        "import clickhouse_connect as c; "
        f'print(*c.get_client(dsn="{settings.dsn}").query("{_QUERY}").result_rows, sep="\\n")'
    )
    yield "ask the tables in SQL", f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}"


def _program() -> str:
    """How to call `c360` here: it may be in an environment that is not active."""
    if shutil.which("c360"):
        return "c360"
    beside = Path(sys.executable).with_name("c360")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m c360_stream"


def _pins(settings: Settings) -> list[str]:
    """Variables that undo what the user's environment or c360.toml would lead elsewhere."""
    try:
        own = load_settings(log_dir=settings.log_dir)
        differing = [name for name in _PINNED if getattr(own, name) != getattr(settings, name)]
    except ConfigurationError:  # once it is mended, it may say anything
        differing = list(_PINNED)
    return [f"C360_{name.upper()}={shlex.quote(_written(settings, name))}" for name in differing]


def _written(settings: Settings, name: str) -> str:
    """A setting as an environment variable has it."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return settings.dsn
    return value if isinstance(value, str) else json.dumps(value)


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _say(console: Console, *sentences: str) -> None:
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


def _money(cents: float | None) -> str:
    return "" if cents is None else f"{cents / 100:,.0f}"


def _figure(value: float) -> str:
    return "n/a" if isnan(value) else f"{value:.3f}"
