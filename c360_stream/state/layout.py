"""Layout of state in words: a line per field, a digest of them, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_64_hexdigest

DIFFERENCES_NAMED_MAX = 5
START_OVER = "run the release and the settings that kept it, or name an empty recovery directory, with --republish"

Layout = tuple[str, ...]
"""Lines `path: how it is stored`, in the order in which fields are stored."""


def checked_layout(lines: Iterable[str]) -> Layout:
    """Lines that were read from outside; raises `ValueError` if they are no layout."""
    if isinstance(lines, str) or not all(isinstance(line, str) and ": " in line for line in lines):
        raise ValueError("not the lines of a layout")
    return tuple(lines)


def under(path: str, lines: Iterable[str]) -> Layout:
    """Lines of a part, as lines of what it is a part of.

    >>> under("learn", ["fresh_day: integer"])
    ('learn.fresh_day: integer',)
    """
    return tuple(f"{path}.{line}" for line in lines)


def digest(lines: Iterable[str]) -> str:
    """Changes with every line, and with their order."""
    return xxh3_64_hexdigest("\n".join(lines).encode())


def differences(before: Iterable[str], now: Iterable[str]) -> str:
    """How a layout differs from the one before, in words; empty if it does not.

    >>> differences(["score.tier: int16 array", "score.old: text"], ["score.tier: int8 array", "score.raw: number"])
    "score: field 'raw' is new; score: field 'old' is gone; score.tier: int8 array, was int16 array"
    """
    kept, present = (dict(line.split(": ", 1) for line in lines) for lines in (before, now))
    new, gone = (_outermost(paths) for paths in (_without(present, kept), _without(kept, present)))
    changed = [path for path in present if path in kept and present[path] != kept[path]]
    found = [
        *(f"{_named(path)} is new" for path in new),
        *(f"{_named(path)} is gone" for path in gone),
        *(f"{path}: {present[path]}, was {kept[path]}" for path in changed),
    ]
    if not found and list(present) != list(kept):
        moved = next(path for path, other in zip(present, kept, strict=True) if path != other)
        found = [f"{_named(moved)} stands elsewhere"]
    more = len(found) - DIFFERENCES_NAMED_MAX
    return "; ".join([*found[:DIFFERENCES_NAMED_MAX], *([f"and {more} more"] if more > 0 else [])])


def _without(paths: Iterable[str], others: Iterable[str]) -> list[str]:
    known = set(others)
    return [path for path in paths if path not in known]


def _outermost(paths: list[str]) -> list[str]:
    """Without the fields of parts that are named themselves."""
    named = set(paths)
    return [path for path in paths if not any(path[:end] in named for end, sign in enumerate(path) if sign == ".")]


def _named(path: str) -> str:
    parent, _, name = path.rpartition(".")
    return f"{parent}: field '{name}'" if parent else f"'{name}'"
