"""Why records were refused, for people: by reason, the most frequent first, and never a value of a record."""

from __future__ import annotations

from collections import Counter
from typing import Any

from c360_stream.logs.lines import printable

Refusals = Counter[tuple[str, str]]
"""Dead letters by topic and reason."""

REASONS_SHOWN_MAX = 5


def reason_lines(refusals: Refusals) -> list[str]:
    """A line a reason, at most `REASONS_SHOWN_MAX`, and one for all others.

    >>> reason_lines(Counter({("billing", "not UTF-8"): 2, ("support", "score: Expected `int <= 5`"): 1_200}))
    ['1,200 of support: score: Expected `int <= 5`', '2 of billing: not UTF-8']
    """
    ranked = _ranked(refusals)
    lines = [printable(f"{number:,} of {topic}: {reason}") for (topic, reason), number in ranked[:REASONS_SHOWN_MAX]]
    rest = ranked[REASONS_SHOWN_MAX:]
    if rest:
        more = f"{len(rest):,} other reason{'' if len(rest) == 1 else 's'}"
        lines.append(f"{sum(number for _, number in rest):,} for {more}")
    return lines


def reason_records(refusals: Refusals) -> list[dict[str, Any]]:
    """The same for `--json`, all reasons.

    >>> reason_records(Counter({("billing", "not UTF-8"): 2}))
    [{'topic': 'billing', 'exception_message': 'not UTF-8', 'dead_letters': 2}]
    """
    return [
        {"topic": topic, "exception_message": reason, "dead_letters": number}
        for (topic, reason), number in _ranked(refusals)
    ]


def _ranked(refusals: Refusals) -> list[tuple[tuple[str, str], int]]:
    return sorted(((key, number) for key, number in refusals.items() if number), key=lambda each: (-each[1], each[0]))
