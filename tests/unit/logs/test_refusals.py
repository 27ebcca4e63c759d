"""Reasons for refusals, as they are counted."""

from __future__ import annotations

from c360_stream.logs.refusals import (
    DEAD_LETTER_REASONS_MAX,
    OTHER_REASONS,
    BoundedReasons,
    count_dead_letters,
    dead_letter_reasons,
)
from c360_stream.metrics import REGISTRY


def test_reasons_of_dead_letters_are_bounded_and_do_not_count_positions() -> None:
    names = BoundedReasons()
    for position in range(3):
        count_dead_letters(names, "odd", "decode", f"JSON is malformed: invalid character (byte {position})", 1)
    for number in range(DEAD_LETTER_REASONS_MAX + 5):
        count_dead_letters(names, "odd", "decode", f"field_{number}: rule", 2)
    found = {reason: number for (topic, reason), number in dead_letter_reasons().items() if topic == "odd"}
    assert found["JSON is malformed: invalid character"] == 3
    assert len(found) == DEAD_LETTER_REASONS_MAX + 1
    assert found[OTHER_REASONS] == 2 * 6
    assert REGISTRY.get_sample_value("c360_dead_letters_total", {"topic": "odd", "stage": "decode"}) == sum(
        found.values()
    )
