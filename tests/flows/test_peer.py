"""The peer of the benchmarks, with Bytewax's window operators, gives the features that the flow gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.windows import FEATURES, compare, peer_rows, run_flow, run_peer
from c360_stream.settings import Settings
from c360_stream.tools.bench.sample import Sample, SampleSpec


def test_windows_and_the_flow_agree_on_every_day_that_has_a_window(tmp_path: Path) -> None:
    settings = Settings.model_construct(log_dir=tmp_path / "log")
    counts = Sample(SampleSpec(accounts=20, product_events=3_000, days=35)).write(settings)
    assert min(counts.late, counts.duplicates, counts.refused) > 20
    _, ours = run_flow(settings, tmp_path, counts.accepted)
    for checked in (False, True):
        out = tmp_path / f"{checked}.jsonl"
        run_peer(settings.log_dir, out, checked=checked)
        theirs = peer_rows(out)
        same, only_ours = compare(ours, theirs)
        assert same > 500
        assert only_ours < len(ours) / 10
    assert {len(row) for row in theirs.values()} == {len(FEATURES)}


def test_a_difference_is_named() -> None:
    row: list[float | None] = [1.0] * len(FEATURES)
    with pytest.raises(AssertionError, match=r"1 of 1 rows differ, say \('a', 3\)"):
        compare({("a", 3): row}, {("a", 3): [2.0, *row[1:]]})
    with pytest.raises(AssertionError, match="rows that the flow has not"):
        compare({("a", 3): row}, {("b", 3): row})
