"""The model: what must be in topics and tables in the end, by a run that nothing has happened to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.simulation.broker import MemoryTopics, Published, Record
from tests.simulation.tables import MemoryTables

RISK_TOPIC = "c360.risk.scores.v1"
EXACT_KEYS = {
    "account_features": ("account_id", "as_of"),
    "outcomes": ("account_id", "as_of", "known_at"),
    "drift_alarms": ("alarm_id",),
    "interventions": ("as_of", "contacted", "playbook", "tier"),
    "model_metrics": ("model_name", "metric", "segment", "as_of", "model_version"),
    "model_versions": ("model_name", "model_version"),
    "dead_letters": ("topic", "partition", "offset"),
    "risk_scores": ("score_id",),
}


@dataclass
class Result:
    """What is in the places in the end.

    `tables_repeat` says how often rows may have been inserted again: `FINAL` shows one of each then.
    """

    topics: MemoryTopics
    tables: MemoryTables
    story: list[str]
    tables_repeat: int = 0


def differences(result: Result, undisturbed: Result) -> list[str]:
    """What the model says is wrong; empty if all is well.

    Each recovery store publishes every exact record once: the last one all of them, one before it those that it came
    to. So with `--republish` records may be there again, and never different.
    """
    found: list[str] = []
    for table, key in EXACT_KEYS.items():
        ours, theirs = _rows(result.tables, table), _rows(undisturbed.tables, table)
        found += _compare(table, ours, theirs, key, 1 + result.tables_repeat)
    wanted = Counter(each.record for each in _exact(undisturbed.topics.seen))
    last = result.topics.store
    for store in dict.fromkeys([*(each.store for each in result.topics.seen), last]):
        seen = [each for each in result.topics.seen if each.store == store]
        published = Counter(each.record for each in _exact(seen))
        lost = wanted - published if store == last else Counter[Record]()
        what = "the last" if store == last else "an earlier"
        more = published - wanted
        found += [f"topic record lost: {record}" for record in list(lost.elements())[:3]]
        found += [f"topic record of {what} store doubled or wrong: {record}" for record in list(more.elements())[:3]]
        found += _overtaken(seen)
    return found


def _rows(tables: MemoryTables, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tables.rows(table)
    return [row for row in rows if row["trigger"] == "tick"] if table == "risk_scores" else rows


def _compare(
    table: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], key: tuple[str, ...], times_max: int
) -> list[str]:
    by_key = {tuple(row[name] for name in key): row for row in theirs}
    counts = Counter(tuple(row[name] for name in key) for row in ours)
    found = [f"{table}: lost {each}" for each in by_key.keys() - counts.keys()][:3]
    found += [f"{table}: {number} times {each}" for each, number in counts.items() if number > times_max][:3]
    found += [f"{table}: never due {each}" for each in counts.keys() - by_key.keys()][:3]
    for row in ours:
        each = tuple(row[name] for name in key)
        if each in by_key and repr(row) != repr(by_key[each]):  # repr: NaN equals itself, floats to the bit
            found.append(f"{table}: {row} is not {by_key[each]}")
            break
    return found


def _score(value: bytes | None) -> dict[str, Any]:
    with suppress(ValueError):
        score = json.loads(value or b"null")
        if isinstance(score, dict):
            return score
    return {}


def _exact(seen: Sequence[Published]) -> list[Published]:
    """Everything published but scores that events triggered."""
    return [
        each
        for each in seen
        if each.record.topic != RISK_TOPIC
        or each.record.value is None
        or _score(each.record.value).get("trigger") == "tick"
    ]


def _overtaken(seen: Sequence[Published]) -> list[str]:
    """Scores on the compacted topic after which an older tick score came: the newest record must be the newest."""
    newest: dict[Any, str] = {}
    found = []
    for record in (each.record for each in seen):
        if record.topic != RISK_TOPIC or record.value is None:
            continue
        score = _score(record.value)
        if score["trigger"] == "tick" and score["as_of"] < newest.get(record.key, ""):
            found.append(f"the tick score of {record.key!r} at {score['as_of']} came after {newest[record.key]}")
        newest[record.key] = max(newest.get(record.key, ""), score["as_of"])
    return found[:3]
