"""The list of log events: its rules, that code keeps to it, and that what is written about it is so."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from c360_stream.logs import events
from c360_stream.logs.events import EVENTS, LOG, Happening, LogEvent
from c360_stream.logs.lines import JsonLines, TextLines

HERE = Path(__file__).parents[3]
OPERATIONS = HERE / "docs" / "operations.md"
RULES = HERE / "deploy" / "prometheus" / "rules" / "alerts.yml"
NAMES = {name: value for name, value in vars(events).items() if isinstance(value, LogEvent)}
OF_EVERY_LINE = {"time", "level", "event", "message", "exception"}
VALUES_OF_EVENTS = {"account_id", "user_id", "event_id", "key", "value", "body", "subject_line", "comment", "detail"}
CITED = re.compile(r"\(log: (`\w+`(?:, `\w+`)*)\)")


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_names_sentences_and_fields(event: LogEvent) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event.name)
    assert NAMES[event.name.upper()] is event
    assert event.in_sentence | {event.block, event.aside} - {""} <= set(event.fields)
    assert not OF_EVERY_LINE & set(event.fields)
    assert not VALUES_OF_EVENTS & set(event.fields)
    assert len(event.why) > 15


def calls() -> Iterator[tuple[str, str, set[str], bool]]:
    """Where an event is said: file and line, event, fields, and whether more come from a dictionary."""
    for path in [*(HERE / "c360_stream").rglob("*.py"), *(HERE / "flows").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            said = node.func.value
            if node.func.attr in ("log", "debug") and isinstance(said, ast.Name) and said.id in NAMES:
                given = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                yield f"{path}:{node.lineno}", said.id, given, any(keyword.arg is None for keyword in node.keywords)


def test_code_gives_each_event_its_fields() -> None:
    found = list(calls())
    assert len(found) > 20
    for place, name, given, more in found:
        declared = set(NAMES[name].fields)
        assert given == declared or (more and given < declared), place


def test_every_event_is_said_somewhere() -> None:
    declaration = HERE / "c360_stream" / "logs" / "events.py"
    code = "".join(path.read_text() for path in (HERE / "c360_stream").rglob("*.py") if path != declaration)
    assert [name for name in NAMES if not re.search(rf"\b{name}\b[.,)]", code)] == []


def section(title: str) -> str:
    return OPERATIONS.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def row(event: LogEvent) -> str:
    fields = ", ".join(f"`{name}`" for name in event.fields if name != event.aside)
    return f"| `{event.name}` | {logging.getLevelName(event.level).lower()} | {fields} | {event.why} |"


def test_the_table_of_the_docs_is_the_list() -> None:
    rows = [
        text for text in section("Logs").splitlines() if re.match(r"\| `[a-z_]+` \| (debug|info|warning|error) ", text)
    ]
    assert rows == [row(event) for event in EVENTS.values()]


def test_what_runbooks_cite_is_written() -> None:
    cited = [
        name for path in (OPERATIONS, RULES) for found in CITED.findall(path.read_text()) for name in found.split(", ")
    ]
    assert len(cited) > 15
    assert {name.strip("`") for name in cited} <= set(EVENTS)


def test_the_examples_of_the_docs_are_what_is_written() -> None:
    text, as_json = re.findall(r"```(?:text|json)\n(.*?)\n```", section("Logs"), re.DOTALL)
    for example in as_json.splitlines():
        shown = json.loads(example)
        event = EVENTS[shown["event"]]
        fields = {name: shown.get(name) for name in event.fields if name != event.aside}
        record = LOG.makeRecord(LOG.name, event.level, "", 0, Happening(event, fields), (), None)
        record.created = datetime.fromisoformat(shown["time"]).timestamp()
        assert json.loads(JsonLines(shown["process"]).format(record)) == shown
        assert TextLines(shown["process"]).format(record) in text.splitlines()
