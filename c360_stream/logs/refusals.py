"""Why records were refused, counted and for people: by reason, the most frequent first, never a value of a record."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from c360_stream import metrics
from c360_stream.logs.lines import printable

Refusals = Counter[tuple[str, str]]
"""Dead letters by topic and reason."""

REASONS_SHOWN_MAX = 5
DEAD_LETTER_REASONS_MAX = 64
OTHER_REASONS = "other reasons"
"""Of dead letters of a topic that had so many already."""
_BYTE_POSITION = re.compile(r" \(byte \d+\)$")


class BoundedReasons:
    """Names of reasons for counting them: of each topic `DEAD_LETTER_REASONS_MAX`, and one for all that come later."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def name(self, topic: str, reason: str) -> str:
        """What to count a reason as."""
        reason = without_position(reason)
        known = self._known.setdefault(topic, set())
        if reason not in known:
            if len(known) >= DEAD_LETTER_REASONS_MAX:
                return OTHER_REASONS
            known.add(reason)
        return reason


def without_position(reason: str) -> str:
    """A reason for a refusal as it is counted: where a record breaks off makes no other one.

    >>> without_position("JSON is malformed: invalid character (byte 17)")
    'JSON is malformed: invalid character'
    """
    return _BYTE_POSITION.sub("", reason)


def count_dead_letters(names: BoundedReasons, topic: str, stage: str, reason: str, number: int) -> None:
    """Count refused records of a topic in the metrics.

    Parameters
    ----------
    names
        Of the reasons that this run has counted.
    topic, stage
        Where they came from, and which step refused them.
    reason
        The field and the rule, never a value of a record.
    number
        How many.
    """
    metrics.DEAD_LETTERS.labels(topic, stage).inc(number)
    metrics.DEAD_LETTER_REASONS.labels(topic, names.name(topic, reason)).inc(number)


def dead_letter_reasons() -> Refusals:
    """Dead letters of this process by topic and reason."""
    samples = (sample for family in metrics.DEAD_LETTER_REASONS.collect() for sample in family.samples)
    return Counter({(each.labels["topic"], each.labels["reason"]): int(each.value) for each in samples})


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
