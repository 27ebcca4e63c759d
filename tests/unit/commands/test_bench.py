"""`c360 bench`: every benchmark runs, its figures are plausible and its output is what scripts read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from c360_stream.cli import cli
from c360_stream.commands.bench import memory
from c360_stream.commands.bench.filling import Filling, Load
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.events import Decoder
from c360_stream.settings import INPUT_KINDS, InputKind, Settings

FIELDS = {
    *("name", "unit", "value", "floor", "ratio_to_floor", "floor_is", "detail", "parameters", "machine"),
}


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", *arguments], prog_name="c360")


def results(*arguments: str) -> list[dict[str, Any]]:
    done = bench(*arguments, "--json", "--repeats", "1")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (("decode", "--batch-sample", "500"), {"decode": 500, "decode_untyped_json": 500}),
        (("features", "--batch-sample", "500", "--accounts", "40"), {"features": 500}),
        (("tick", "--tick-accounts", "60"), {"tick": 60}),
        (("model", "--rows", "1200"), {"model_learn": 1200, "model_score_1000": 1200, "model_score_10": 1200}),
    ],
)
def test_each_result_is_one_json_object_with_its_floor(arguments: tuple[str, ...], counts: dict[str, int]) -> None:
    found = results(*arguments)
    assert [result["name"] for result in found] == list(counts)
    for result in found:
        assert result.keys() == FIELDS
        assert result["value"] > 0
        assert result["floor"] > 0
        assert result["ratio_to_floor"] == pytest.approx(result["value"] / result["floor"], rel=1e-2)
        assert counts[result["name"]] in result["parameters"].values()
        assert result["machine"]["cores"] == os.cpu_count()


def test_every_account_of_a_tick_gets_a_record() -> None:
    [tick] = results("tick", "--tick-accounts", "60")
    assert tick["parameters"]["accounts"] == tick["parameters"]["records"] == 60
    assert sum(tick["detail"].values()) == pytest.approx(tick["value"], rel=1e-2)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_replay_takes_every_line_and_leaves_nothing_behind(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("C360_CLICKHOUSE_DSN", "clickhouse://nosuch.invalid/c360")
    found = results("replay", "--accounts", "20", "--events", "800", "--days", "2", "--processes", str(processes))
    assert [result["name"] for result in found] == ["replay", "replay_with_startup", "replay_cpu", "replay_by_line"]
    parameters = found[0]["parameters"]
    assert parameters["processes"] == processes
    assert parameters["events"] > 800 + 20
    assert parameters["scores"] >= 20
    assert 150 < parameters["bytes_per_event"] < 250
    assert found[0]["value"] > found[1]["value"]
    assert list(tmp_path.iterdir()) == []


def test_memory_tells_an_accounts_bytes_from_a_users() -> None:
    settings = Settings.model_construct(horizon_days=14, shards=2)
    user, account, both = memory.measure(settings, 4_000, seed=1)
    assert [result.name for result in (user, account, both)] == ["memory_user", "memory_account", "memory"]
    assert 0 < user.value < account.value < both.value
    assert both.value == pytest.approx(account.value + both.parameters["users_per_account"] * user.value)
    assert both.parameters["peak_bytes"] >= both.parameters["resident_bytes"] > 4_000 * both.value


def test_what_memory_measures_is_full() -> None:
    settings = Settings.model_construct(horizon_days=14, shards=2)
    filling = Filling(settings, Load(accounts=300, users=4, seed=1))
    filling.through(15)
    assert filling.accounts() == 300
    assert filling.waiting_examples() == 600
    assert 1_000 < filling.users() <= 1_200


def test_without_json_it_is_a_table() -> None:
    done = bench("decode", "--table", "--batch-sample", "200", "--repeats", "1")
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["value", "floor", "ratio"]
    assert first.startswith("decode ")
    assert "events per CPU second; floor: splitting the lines" in second


@pytest.mark.parametrize("wrong", [["nosuch"], ["replay", "--events", "0"], ["--nosuch"]])
def test_wrong_use_is_one_line_and_exit_code_2(wrong: list[str]) -> None:
    done = bench(*wrong)
    assert done.exit_code == 2
    assert done.stderr.startswith("c360: error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_the_sample_is_valid_in_order_and_the_same_for_the_same_seed(kind: InputKind) -> None:
    spec = SampleSpec(accounts=30, product_events=600, days=2, partitions=3)
    by_partition = Sample(spec).lines(kind)
    assert by_partition == Sample(spec).lines(kind)
    assert by_partition != Sample(SampleSpec(30, 600, days=2, partitions=3, seed=2)).lines(kind)
    decode = Decoder(kind).decode
    ids: set[str] = set()
    for lines in by_partition:
        events = [decode(line) for line in lines]
        times = [event.occurred_at for event in events]
        assert times == sorted(times)
        ids.update(event.event_id for event in events)
    assert len(ids) == sum(map(len, by_partition))
