"""`c360 verify`: rebuilds a past score from the event log and compares it with the stored one, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from c360_stream.cli.json_output import print_json
from c360_stream.cli.terminal import escaped
from c360_stream.cli.verify.history import History, Moment, features_at, read_history
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.factory import open_transport
from c360_stream.contracts.events import time_us
from c360_stream.contracts.records import rfc3339_ms
from c360_stream.errors import ConfigurationError, StateError
from c360_stream.features.definitions import INDEX, SPECS
from c360_stream.logs.lines import printable
from c360_stream.models.version import ModelVersion, Scored
from c360_stream.models.version_json import is_without_model, version_from_json
from c360_stream.settings import Settings
from c360_stream.settings.masking import mask_dsn

Features = NDArray[np.float64]

_SCORE = """
SELECT toUnixTimestamp64Milli(as_of) AS as_of_ms, trigger, risk, model_name, model_version, reasons, mitigations
FROM risk_scores FINAL
WHERE account_id = {account:String} AND ({any:Bool} OR toUnixTimestamp64Milli(as_of) = {as_of_ms:Int64})
ORDER BY as_of DESC, trigger DESC
LIMIT 1
"""
_NEAREST = """
SELECT DISTINCT toUnixTimestamp64Milli(as_of) AS as_of_ms
FROM risk_scores
WHERE account_id = {account:String}
ORDER BY abs(as_of_ms - {as_of_ms:Int64})
LIMIT 2
"""
_FEATURES = """
SELECT * FROM account_features FINAL
WHERE account_id = {account:String} AND toUnixTimestamp64Milli(as_of) = {as_of_ms:Int64}
"""
_VERSION = """
SELECT parameters FROM model_versions FINAL
WHERE model_name = {name:String} AND model_version = {version:String}
"""
# Which times are implausible depends on the rest of the partition: the flow's decisions are on record.
_REFUSED = """
SELECT offset FROM dead_letters FINAL
WHERE topic = {topic:String} AND partition = {partition:Int32} AND exception_message LIKE 'occurred_at: %'
"""


@dataclass(frozen=True)
class Stored:
    """A score as it is in the tables.

    `features` has what is known of them: all at a tick, those of reasons and mitigations in between. `reasons`, which
    raise the risk, and `mitigations`, which lower it, are as in the score.
    """

    moment: Moment
    risk: float
    version: ModelVersion
    features: dict[str, float]
    reasons: list[dict[str, Any]]
    mitigations: list[dict[str, Any]]


@dataclass(frozen=True)
class Rebuilt:
    """A score made again, with the late events or without.

    `differing` names the features that are not as stored; `risk_equal` means every bit. The risk of a declared model
    cannot be made again, since the tables do not hold the model: there `scored` is of NaN, and features alone count.
    """

    features: Features
    scored: Scored
    differing: list[str]
    risk_equal: bool
    with_late: bool
    has_model: bool = True

    @property
    def risk(self) -> float:
        """The risk."""
        return float(self.scored.risk[0])

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.risk_equal and not self.differing


def verify(settings: Settings, account: str, as_of: datetime | None, *, as_json: bool = False) -> bool:
    """Rebuild a score, print the comparison, and return whether it is equal.

    Parameters
    ----------
    as_of
        As-of time of a stored score; None takes the newest.
    as_json
        Whether to print one JSON object.

    Raises
    ------
    ConfigurationError
        If there is no such score; the message names the nearest.
    StateError
        If the model version that scored is not stored.
    TransportError
        If the tables or the log cannot be read.
    """
    if settings.embedded_tables and not Path(urlsplit(settings.dsn).path).is_dir():
        raise ConfigurationError(f"there are no tables at {settings.dsn}", "name the --log-dir of a run")
    with contextlib.closing(connect(settings.dsn)) as tables:
        stored = find_score(tables, mask_dsn(settings.dsn), account, as_of)

        def refused(topic: str, partition: int) -> Collection[int]:
            return {row["offset"] for row in tables.query(_REFUSED, {"topic": topic, "partition": partition})}

        with contextlib.closing(open_transport(settings)) as transport:
            history = read_history(settings, transport, stored.moment, refused)
    rebuilt = rebuild(settings, stored, history)
    if as_json:
        print_json(_record(stored, rebuilt, history))
    else:
        _show(stored, rebuilt, history)
    return rebuilt.equal


def find_score(tables: TableStore, place: str, account: str, as_of: datetime | None) -> Stored:
    """Look a score up; raises as `verify`."""
    wanted_ms = time_us(as_of) / 1000 if as_of else 0
    key = {"account": account, "as_of_ms": int(wanted_ms), "any": as_of is None}
    found = tables.query(_SCORE, key) if wanted_ms == int(wanted_ms) else []
    if not found:
        raise _no_score(tables, place, account, key)
    (score,) = found
    name, number = score["model_name"], score["model_version"]
    versions = tables.query(_VERSION, {"name": name, "version": number})
    if not versions:
        raise StateError(f"{place}: model_versions has no {name} {number}, which made the score", "restore that table")
    moment = Moment(account, score["as_of_ms"] * 1000, score["trigger"])
    version, features = version_from_json(versions[0]["parameters"]), _known(tables, score, key)
    return Stored(moment, score["risk"], version, features, score["reasons"], score["mitigations"])


def _known(tables: TableStore, score: dict[str, Any], key: dict[str, Any]) -> dict[str, float]:
    if score["trigger"] != "tick":
        named = [reason for kind in ("reasons", "mitigations") for reason in score[kind]]
        return {each["feature"]: _number(each["value"]) for each in named if each["feature"] in INDEX}
    rows = tables.query(_FEATURES, key | {"as_of_ms": score["as_of_ms"]})
    if not rows:
        raise StateError(f"account_features has no row for {printable(key['account'])} at that tick", "restore it")
    return {name: _number(rows[0][name]) for name in INDEX}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _no_score(tables: TableStore, place: str, account: str, key: dict[str, Any]) -> ConfigurationError:
    nearest = sorted(row["as_of_ms"] for row in tables.query(_NEAREST, key))
    if not nearest:
        return ConfigurationError(
            f"account {printable(account)} has no score in {place}", "see the accounts that have one: c360 top"
        )
    times = " or ".join(f"--as-of {rfc3339_ms(ms * 1000)}" for ms in nearest)
    return ConfigurationError(f"account {printable(account)} has no score at that time", f"the nearest: {times}")


def rebuild(settings: Settings, stored: Stored, history: History) -> Rebuilt:
    """Make the score again, without the late events and, if that is not equal, with them."""
    rebuilt = _rebuilt(settings, stored, history, late=False)
    if history.late and not rebuilt.equal:
        with_late = _rebuilt(settings, stored, history, late=True)
        if with_late.equal:
            return with_late
    return rebuilt


def _rebuilt(settings: Settings, stored: Stored, history: History, *, late: bool) -> Rebuilt:
    columns = [*history.in_time, *history.late] if late else history.in_time
    features = features_at(settings, stored.moment, columns)
    if has_model := not is_without_model(stored.version):
        scored = stored.version.score(features[None, :], stored.moment.as_of_us)
    else:
        scored = Scored(np.full(1, np.nan), np.full((1, len(features)), np.nan), np.nan)
    made = dict(zip(INDEX, features.tolist(), strict=True))
    differing = [name for name, value in stored.features.items() if not np.array_equal(made[name], value, True)]
    risk_equal = not has_model or float(scored.risk[0]) == stored.risk
    return Rebuilt(features, scored, differing, risk_equal, late, has_model)


def _show(stored: Stored, rebuilt: Rebuilt, history: History) -> None:
    console = Console(highlight=False)
    moment, version = stored.moment, stored.version
    trigger = "daily tick" if moment.trigger == "tick" else "score between ticks"
    head = f"{escaped(moment.account)} as of {rfc3339_ms(moment.as_of_us)}, {trigger}"
    console.print(Text(head, style="bold"))
    console.print(Text(f"model {version.model_name} {version.model_version}"))
    console.print(Text(f"log: {history.events:,} events of the account in {history.partitions} partitions before that"))
    console.print(_table(stored, rebuilt))
    for title, reasons in (
        ("Reasons: topics that raise the risk", stored.reasons),
        ("Mitigations: topics that lower the risk", stored.mitigations),
    ):
        lines = [f" {printable(each['text'])}" for each in reasons] or [" none"]
        console.print(Text("\n").join([Text(title, style="bold"), *map(Text, lines)]))
    risk = repr(rebuilt.risk) if rebuilt.has_model else "not possible: a declared model"
    console.print(Text(f"\nrisk rebuilt {risk}\n     stored  {stored.risk!r}\n"))
    verdict, style = ("equal", "bold green") if rebuilt.equal else ("NOT equal", "bold red")
    console.print(Text.assemble((verdict, style), ": ", _explanation(stored, rebuilt, history)))


def _record(stored: Stored, rebuilt: Rebuilt, history: History) -> dict[str, object]:
    """The comparison for `--json`: named as in a score, and what was rebuilt beside it."""
    moment, version = stored.moment, stored.version
    rows = zip(SPECS, rebuilt.features.tolist(), rebuilt.scored.contributions[0].tolist(), strict=True)
    return {
        "account_id": moment.account,
        "as_of": datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment.as_of_us),
        "trigger": moment.trigger,
        "model_name": version.model_name,
        "model_version": version.model_version,
        "equal": rebuilt.equal,
        "explanation": _explanation(stored, rebuilt, history),
        "risk": stored.risk,
        "risk_rebuilt": rebuilt.risk if rebuilt.has_model else None,
        "base_log_odds": float(rebuilt.scored.base_log_odds) if rebuilt.has_model else None,
        "features": [
            {
                "feature": spec.name,
                "group": spec.group,
                "value": stored.features.get(spec.name),
                "value_rebuilt": value,
                "contribution": contribution if rebuilt.has_model else None,
                "equal": spec.name not in rebuilt.differing if spec.name in stored.features else None,
            }
            for spec, value, contribution in rows
        ],
        "reasons": stored.reasons,
        "mitigations": stored.mitigations,
        "events": history.events,
        "late_events": history.late_events,
        "partitions": history.partitions,
    }


def _explanation(stored: Stored, rebuilt: Rebuilt, history: History) -> str:
    late = f"{history.late_events:,} event(s) before that time came late"
    if rebuilt.equal:
        what = "all 21 features" if stored.moment.trigger == "tick" else "the features of its reasons and mitigations"
        how = "which the score counted, too" if rebuilt.with_late else "after the score was made"
        note = f"; {late}, {how}" if history.late else ""
        if not rebuilt.has_model:
            name = stored.version.model_name
            return f"{what}, bit for bit{note}; not the risk: {name} is a declared model, which the tables do not hold."
        return f"{what} and the risk, bit for bit{note}."
    what = f"{len(rebuilt.differing)} feature(s)" if rebuilt.differing else ""
    what += " and " if what and not rebuilt.risk_equal else ""
    what += "" if rebuilt.risk_equal else "the risk"
    if history.late:
        return f"{what} differ; {late}, and a score counts only those that had arrived."
    if stored.moment.trigger == "event":
        return f"{what} differ; a score between ticks counts those events of its day that had arrived by then."
    if not rebuilt.differing:
        return f"{what} differs though the features agree: the stored score or model version was changed."
    return (
        f"{what} differ; the log or the tables were changed since, events were added from before the end of an earlier"
        " run, or the settings of the features are not the run's."
    )


def _table(stored: Stored, rebuilt: Rebuilt) -> Table:
    """The features: what raises the risk, the strongest first, then what lowers it, then what does neither."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("feature", no_wrap=True)
    for name in ("rebuilt", "stored", "log\nodds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("topic", no_wrap=True)
    table.add_column("")
    rows = list(zip(SPECS, rebuilt.features.tolist(), rebuilt.scored.contributions[0].tolist(), strict=True))
    for effect in _EFFECTS:
        group = sorted((row for row in rows if _effect(row[2]) == effect), key=lambda row: -abs(row[2]))
        if group:
            table.add_row(Text(effect, style="bold"))
        for spec, value, contribution in group:
            known = _shown(stored.features[spec.name]) if spec.name in stored.features else ""
            mark = Text("differs", style="bold red") if spec.name in rebuilt.differing else Text("")
            table.add_row(spec.name, _shown(value), known, f"{contribution:+.3f}", spec.group, mark)
    table.add_row("(the average account)", "", "", f"{rebuilt.scored.base_log_odds:+.3f}", "", "", style="dim")
    return table


_EFFECTS = ("raises the risk", "lowers the risk", "no effect")


def _effect(contribution: float) -> str:
    raises, lowers, none = _EFFECTS
    return raises if contribution > 0 else lowers if contribution < 0 else none


def _shown(value: float) -> str:
    """A value for reading: the comparison looks at every bit, this shows six digits."""
    return "null" if np.isnan(value) else f"{value:,.6g}"
