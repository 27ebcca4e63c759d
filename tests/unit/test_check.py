"""The comparison with the oracle: it sees every way in which a table can be wrong."""

from __future__ import annotations

import pytest

from tests.reference.check import compare, near, wrong_features


def test_missing_extra_repeated_and_unequal_rows_are_each_named() -> None:
    found = [("same", 1), ("twice", 2), ("twice", 2), ("other", 3), ("extra", 4)]
    expected = {"same": 1, "twice": 2, "other": 0, "missing": 5}
    said = compare(found, expected, lambda row, due: None if row == due else f"{row} != {due}")
    assert sorted(said) == ["extra: extra", "missing: missing", "other: 3 != 0", "twice: repeated"]


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        *((1.0, 1.0 + 1e-10, True), (1.0, 1.0 + 1e-8, False), (1e12, 1e12 + 1, True)),
        *((None, None, True), (None, 0.0, False), (0.0, None, False), (float("nan"), None, False)),
    ],
)
def test_null_is_null_and_numbers_are_equal_to_1e_9(found: float | None, expected: float | None, equal: bool) -> None:
    assert near(found, expected) is equal


def test_a_wrong_feature_and_a_missing_column_are_named() -> None:
    row = {"account_id": "a", "as_of": "2024-01-01", "nps_score": 3.0}
    assert wrong_features(row, {"nps_score": 3}) is None
    assert wrong_features(row, {"nps_score": 4}) == "nps_score 3.0 != 4"
    assert wrong_features(row, {"nps_score": 3, "mrr_cents": 1}) == "columns differ: ['mrr_cents']"
