"""The bones of the report: one HTML page that needs nothing from elsewhere, in light and dark, on phones and paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"

_STYLE = """
:root { --ink: #1d2126; --soft: #59616b; --paper: #ffffff; --line: #c9ced6; --good: #00664a; --bad: #a63c00;
  --shade: #f3f5f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a4acb6; --paper: #15181c; --line: #454c55;
  --good: #4fd0a5; --bad: #ff9a5c; --shade: #1e2329; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; } h2 { font-size: 1.25rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.5rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; } .soft, figcaption span { color: var(--soft); }
.wide { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.875rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; } td.n, th.n { text-align: right; }
td { white-space: nowrap; } td.text { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.2rem; font-weight: 600; padding: 0.75rem 1rem; border-left: 0.35rem solid var(--soft);
  background: var(--shade); margin: 1rem 0; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
.pictures { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; break-inside: avoid; } figure svg { width: 100%; height: auto; display: block; }
figcaption b { display: block; } figcaption { font-size: 0.875rem; margin-bottom: 0.4rem; }
summary { cursor: pointer; font-size: 1.1rem; font-weight: 600; padding: 0.4rem 0.6rem; background: var(--shade);
  margin: 0.75rem 0; }
code { font-size: 0.9em; }
@media print { body { max-width: none; font-size: 10pt; } .wide { overflow: visible; } table { font-size: 7.5pt; }
  th, td { padding: 0.15rem 0.3rem; } .pictures { grid-template-columns: 1fr 1fr; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page; the parts are HTML."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def heading(level: int, text: str) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>"


def folded(title: str, parts: Iterable[str], *, unfolded: bool) -> str:
    """A part that can be folded away; the parts are HTML."""
    state = " open" if unfolded else ""
    inner = "\n".join(parts)
    return f"<details{state}>\n<summary>{escape(title)}</summary>\n{inner}\n</details>"


class Cell(str):
    """Text of a table's cell that is shown in a certain way: a class of the style sheet."""

    kind: str

    def __new__(cls, text: str, kind: str) -> Cell:
        """Make one."""
        made = super().__new__(cls, text)
        made.kind = kind
        return made


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Columns whose name begins with `#` hold numbers; cells are plain text."""
    numeric = [name.startswith("#") for name in columns]
    kinds = ['class="n"' if each else "" for each in numeric]
    head = "".join(f"<th {kind}>{escape(name.lstrip('#'))}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = []
    for row in rows:
        cells = [
            f'<td class="{cell.kind}">{escape(cell)}</td>'
            if isinstance(cell, Cell)
            else f"<td {kind}>{escape(cell)}</td>"
            for cell, kind in zip(row, kinds, strict=True)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


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
