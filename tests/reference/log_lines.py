"""Lines of a process's log, told from what else it prints."""

from __future__ import annotations

import re

from c360_stream.logs.events import EVENTS

TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<level>debug|info|warning|error) (?P<event>[a-z_]+): (?P<rest>\S.*)"
)


def event_of(line: str) -> str:
    """The name of the event of a line of text, one of those that are declared; empty if it is another line."""
    found = TEXT_LINE.fullmatch(line)
    return found["event"] if found and found["event"] in EVENTS else ""


def events_in(output: str) -> list[str]:
    """Names of the events that were logged, in order."""
    return [event for line in output.splitlines() if (event := event_of(line))]


def other_lines(output: str) -> list[str]:
    """What is no line of the log."""
    return [line for line in output.splitlines() if not event_of(line)]
