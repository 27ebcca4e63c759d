"""What the report's tables are made of: columns, rows and figures written for reading. Its template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


class Table(NamedTuple):
    """A table of plain text. Columns whose name begins with `#` hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Cell(str):
    """Text of a table's cell that is shown in a certain way: a class of the style sheet."""

    kind: str

    def __new__(cls, text: str, kind: str) -> Cell:
        """Make one."""
        made = super().__new__(cls, text)
        made.kind = kind
        return made


def number(value: Any, form: str = ".3f") -> str:
    """A figure for reading; a dash if there is none.

    >>> number(0.81234), number(None) == DASH, number(-1.5, ".1f") == f"{MINUS}1.5"
    ('0.812', True, True)
    """
    return DASH if value is None else format(value, form).replace("-", MINUS)


def percent(value: Any, digits: int = 1) -> str:
    """A share for reading.

    >>> percent(0.123)
    '12.3%'
    """
    return DASH if value is None else f"{100 * value:.{digits}f}%".replace("-", MINUS)
