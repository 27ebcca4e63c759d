"""Log lines: JSON or text, one an event, on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from c360_stream.logs.events import COMMAND_FAILED, LIBRARY_WARNED, LOG, Happening, LogEvent

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def set_up(log_format: LogFormat, level: LogLevel, *, process: int | None = None) -> None:
    """Write log lines to stderr from now on; what was set up before is replaced.

    Of libraries only warnings are logged: their lower levels may quote what they are given.

    Parameters
    ----------
    log_format, level
        As in the settings.
    process
        Number of this process in its cluster, which every line has. None: it is none of a flow.
    """
    take_down()
    lines = JsonLines(process) if log_format == "json" else TextLines(process)
    handler = _Stderr(level.upper())
    handler.setFormatter(lines)
    logging.getLogger().addHandler(handler)  # the root logger is the process's own: it has the state, not this module
    LOG.setLevel(level.upper())
    logging.captureWarnings(True)


def take_down() -> None:
    """Write no more log lines."""
    if (handler := _installed()) is not None:
        logging.getLogger().removeHandler(handler)
        LOG.setLevel(logging.NOTSET)
        logging.captureWarnings(False)


def line(event: LogEvent, **fields: object) -> str:
    """The line of an event, for a caller that writes it itself; as text where nothing is set up."""
    record = LOG.makeRecord(LOG.name, event.level, fn="", lno=0, msg=Happening(event, fields), args=(), exc_info=None)
    handler = _installed()
    formatter = handler.formatter if handler is not None else None
    return f"{(formatter or TextLines(None)).format(record)}\n"


def log_failure(what: str, exit_code: int, error: BaseException | None = None) -> bool:
    """Log in JSON why this process ends; false where lines are text, which have a form of their own for that.

    Parameters
    ----------
    what
        What went wrong and how to fix it.
    error
        Whose stacks to show.
    """
    handler = _installed()
    if handler is None or not isinstance(handler.formatter, JsonLines):
        return False
    stacks = "".join(traceback.format_exception(error)) if error is not None else None
    COMMAND_FAILED.log(what=what, exit_code=exit_code, stacks=stacks)
    return True


def printable(text: str) -> str:
    r"""Text from outside on one line, fit for a terminal: what does not print becomes a space.

    Identifiers and reasons come from topics that others write to, and an escape sequence in one could rewrite
    the reader's screen.

    >>> printable("acme\x1b[2J\n  Ltd ")
    'acme [2J Ltd'
    """
    if text.isprintable() and "  " not in text:  # most are, and to look at each letter takes ten times as long
        return text.strip()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class _Stderr(logging.Handler):
    """Writes to what is stderr at that moment: a run has its own while native code has the descriptor."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, in one piece, since the processes of a cluster share stderr; a log that is full ends no run."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        with suppress(OSError, ValueError):  # ValueError: it is closed
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _installed() -> _Stderr | None:
    """The handler that `set_up` has added, if any."""
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, _Stderr)), None)


class _Lines(logging.Formatter):
    def __init__(self, process: int | None) -> None:
        super().__init__()
        self._process = process

    def _happening(self, record: logging.LogRecord) -> Happening:
        """The event of a record; the message of a library is one, too."""
        if isinstance(record.msg, Happening):
            return record.msg
        return Happening(LIBRARY_WARNED, {"logger": record.name, "what": record.getMessage()})

    def _failure(self, record: logging.LogRecord) -> tuple[str, str]:
        """The message of an exception, and at level debug the stacks."""
        if record.exc_info is None or record.exc_info[1] is None:
            return "", ""
        error = record.exc_info[1]
        stacks = self.formatException(record.exc_info) if LOG.isEnabledFor(logging.DEBUG) else ""
        return f"{type(error).__name__}: {error}", stacks


class JsonLines(_Lines):
    """One JSON object a line: `time`, `level`, `event`, `message`, `process`, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        happening = self._happening(record)
        process = {} if self._process is None else {"process": self._process}
        failure, stacks = self._failure(record)
        shown: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": happening.event.name,
            "message": printable(happening.message),
            **process,
            **{name: _plain(value) for name, value in _shown(happening).items()},
            **({"exception": failure} if failure else {}),
            **({"stacks": stacks} if stacks else {}),
        }
        return json.dumps(shown)


class TextLines(_Lines):
    """The same for people: time, level, event, sentence, and what the sentence leaves out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; lines, if the event has a block."""
        happening = self._happening(record)
        event, fields = happening.event, _shown(happening)
        shown = event.in_sentence | {event.block}
        rest = [f"{name}={_text(value)}" for name, value in fields.items() if name not in shown]
        whose = "" if self._process is None or "process" in fields else f"process {self._process}: "
        failure, stacks = self._failure(record)
        whole = [happening.message, *([failure] if failure else []), *([f"({', '.join(rest)})"] if rest else [])]
        below = [text for text in (happening.block, stacks) if text]
        first = f"{_time(record)} {record.levelname.lower()} {event.name}: {whose}{printable(' '.join(whole))}"
        return "\n".join([first, *below])


def _shown(happening: Happening) -> dict[str, object]:
    """The fields that have a value."""
    return {
        name: value for name, value in happening.fields.items() if value is not None and name != happening.event.aside
    }


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _plain(value: object) -> object:
    """What JSON can express: it has no NaN."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return value if isinstance(value, str | int | bool) else str(value)


def _text(value: object) -> str:
    return json.dumps(_plain(value)) if isinstance(value, Mapping | bool | float) else str(value)
