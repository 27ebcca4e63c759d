"""Keeping state: small in the bytes, large in files, of which a little change writes little."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from c360_stream import metrics
from c360_stream.errors import StateError
from c360_stream.features.emissions import IntradayRows
from c360_stream.features.volume import VolumeBaseline
from c360_stream.operators.accounts import AccountsStep
from c360_stream.operators.run_context import RunContext
from c360_stream.scoring.account_scores import ScoringConfig
from c360_stream.scoring.scorer import ShardScorer
from c360_stream.state import backend as module
from c360_stream.state import chunk_store as segments
from c360_stream.state.backend import StateBackend
from c360_stream.state.chunk_store import STATE_FOLDER
from c360_stream.state.codec import Pages
from c360_stream.state.fields import Kept
from tests.unit.features.deliveries import Partition, shard_config
from tests.unit.features.events import at, event

MANY = 3_000


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "CHUNK_BYTES", 1024)
    monkeypatch.setattr(module, "INLINE_BYTES_MAX", 1000)


def noise(length: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.random.default_rng(length).integers(0, 256, length, np.uint8)


def test_a_shard_writes_what_its_events_changed(tmp_path: Path) -> None:
    step = AccountsStep(shard_config(["p", "b"]), StateBackend(True, (), tmp_path), RunContext())
    logic, product, billing = step(None), Partition("product", "p", 1), Partition("billing", "b", 1)
    starts = {"plan": "team", "mrr_cents": 100, "seats": 3}
    for batch in (
        *product.say([event(f"e{n}", f"account {n}", at(0), "task_created", user_id=f"u{n}") for n in range(MANY)]),
        *billing.say([event(f"s{n}", f"account {n}", at(0), "subscription_started", **starts) for n in range(MANY)]),
        *product.say([event("later", "account 0", at(1, 3), "task_created")]),
        *billing.say([event("later", "account 0", at(1, 3), "invoice_paid", amount_cents=1)]),
    ):
        logic.on_batch([batch])
    logic.snapshot()
    assert logic._handle.written_bytes > 80 * MANY
    for batch in product.say(
        [
            event("again", "account 7", at(1, 4), "task_created", user_id="u7"),
            event("new", "zoe", at(1, 4), "task_created"),
        ]
    ):
        logic.on_batch([batch])
    kept = logic.snapshot()
    assert 0 < logic._handle.written_bytes < 100 * 1024
    resumed = step(kept)
    resumed.snapshot()
    assert resumed._handle.written_bytes < 20 * MANY, "what it took up is what it had, but for the order of event ids"


def test_a_scorer_writes_what_is_new(tmp_path: Path) -> None:
    handle, scorer = (
        StateBackend(True, (), tmp_path).of("score", Kept),
        ShardScorer(ScoringConfig(60, (0.1, 0.25, 0.5), 0.02, 7, 0.05)),
    )
    for ids in ([f"account {number}" for number in range(MANY)], ["one more"]):
        nobody = np.zeros(0, np.int32)
        scorer.take(IntradayRows(0, nobody, ids, nobody.astype(np.int64), np.zeros((0, 21))))
        packed = handle.keep("0", scorer.state)
    assert 0 < handle.written_bytes < 100 * 1024
    resumed = ShardScorer(scorer.config)
    resumed.restore(StateBackend(True, (), tmp_path).of("score", Kept).load(packed))
    handle.keep("0", resumed.state)
    assert handle.written_bytes == 0


def test_small_state_stays_in_the_bytes_and_grows_out_of_them(tmp_path: Path) -> None:
    backend = StateBackend(True, (), tmp_path)
    packed = backend.of("learn", Kept).keep("model", lambda: [noise(10), Pages.cut(["x"] * 10, 5)])
    assert list(tmp_path.iterdir()) == []
    handle = backend.of("learn", Kept)
    assert handle.load(packed)[1] == [["x"] * 5] * 2
    for array in (noise(10_000), noise(50)):  # what has files keeps them
        packed = handle.keep("model", array.copy)
        handle = backend.of("learn", Kept)
        assert handle.load(packed).tolist() == array.tolist()
        assert [file.name for file in (tmp_path / STATE_FOLDER).iterdir()] == ["learn-model"]
        assert len(packed) < 10_000


def test_without_the_directory_it_is_said(tmp_path: Path) -> None:
    packed = StateBackend(True, (), tmp_path).of("learn", Kept).keep("model", lambda: noise(10_000))
    with pytest.raises(StateError, match=r"learn is partly in files beside the engine's; resume it with `c360 run"):
        StateBackend(True, ()).of("learn", Kept).load(packed)


def test_another_layout_is_refused_before_its_files_are_read(tmp_path: Path) -> None:
    packed = StateBackend(True, (), tmp_path).of("learn", Kept).keep("model", lambda: noise(10_000))
    for file in (tmp_path / STATE_FOLDER / "learn-model").iterdir():
        file.unlink()
    for other in (
        StateBackend(True, ("C360_SHARDS: 4",), tmp_path).of("learn", Kept),
        StateBackend(True, (), tmp_path).of("learn", VolumeBaseline),
    ):
        with pytest.raises(StateError, match=r"snapshot of step learn is of layout \w+; this release has \w+"):
            other.load(packed)


def test_metrics_tell_when_state_was_kept_last(tmp_path: Path) -> None:
    def kept_at() -> float | None:
        return metrics.REGISTRY.get_sample_value("c360_snapshot_timestamp_seconds", {"step": "timed"})

    StateBackend(False, ()).of("timed", Kept).keep("0", dict)
    assert kept_at() is None, "nothing is kept without a recovery directory"
    began = time.time()
    StateBackend(True, (), tmp_path).of("timed", Kept).keep("0", dict)
    at = kept_at()
    assert at is not None
    assert began <= at <= time.time()
