"""`c360 bench`: every benchmark runs, its figures are plausible and its output is what scripts read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from c360_stream.cli.main import cli
from c360_stream.settings import Settings
from c360_stream.tools.bench import history, idle, items, latency, memory, midnight, snapshot
from c360_stream.tools.bench.filling import Filling, Load

pytestmark = pytest.mark.slow
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


def test_snapshots_write_what_changed_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(snapshot, "EVENTS_PER_SECOND", 20)
    found = results("snapshot", "--tick-accounts", "4000")
    names = ["snapshot_first", "snapshot_after_events", "snapshot_after_tick", "snapshot_resume"]
    assert [result["name"] for result in found] == names
    first, events, tick, _ = (result["parameters"] for result in found)
    assert all(0 < later["files_bytes"] < first["files_bytes"] for later in (events, tick))
    assert first["state_bytes"] == first["files_bytes"] > 4000 * 2000
    assert tick["directory_bytes"] < 3 * first["directory_bytes"]
    assert list(tmp_path.iterdir()) == []


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
    assert [result["name"] for result in found] == [
        *("replay", "replay_with_startup", "replay_cpu", "replay_by_line", "replay_without_recovery", "replay_clean"),
    ]
    parameters = found[0]["parameters"]
    assert parameters["processes"] == processes
    assert parameters["events"] > 800 + 20
    assert parameters["scores"] >= 20
    assert 150 < parameters["bytes_per_event"] < 250
    assert found[0]["value"] > found[1]["value"]
    assert [result["parameters"]["recovery"] for result in found] == [*[True] * 4, False, False]
    assert [result["parameters"]["refused"] > 0 for result in found] == [*[True] * 5, False]
    for result in found:
        detail = result["detail"]
        assert detail["startup_seconds"] > 0
        assert detail["work_seconds"] == pytest.approx(
            max(0, detail["wall_seconds"] - detail["startup_seconds"]), abs=2e-3
        )
    assert list(tmp_path.iterdir()) == []


def test_a_live_run_passes_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(midnight, "SETTLE_SECONDS", 0.5)
    scores, pause = results("midnight", "--tick-accounts", "40", "--brokers", "")
    assert (scores["name"], pause["name"]) == ("midnight_all_scores", "midnight_pause")
    assert scores["value"] >= scores["detail"]["first_score_seconds"]
    assert scores["parameters"]["transport"] == "log directory"
    assert list(tmp_path.iterdir()) == []


def test_scores_that_events_bring_about_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(items, "HISTORY_ACCOUNTS", 300)
    monkeypatch.setattr(latency, "WARM_SECONDS", 0.1)
    monkeypatch.setattr(latency, "FLOOR_SECONDS", 0.5)
    found = results("latency", "--rate", "200", "--seconds", "3", "--brokers", "")
    assert [result["name"] for result in found] == ["latency_p50", "latency_p95", "latency_p99", "latency_max"]
    values = [result["value"] for result in found]
    assert values == sorted(values)
    assert found[0]["parameters"]["samples"] > 20
    assert list(tmp_path.iterdir()) == []


def test_scaling_compares_processes_over_the_same_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found, by_cpu = results("scaling", "--accounts", "20", "--events", "800", "--days", "2")
    assert (found["name"], found["parameters"]["processes"]) == ("scaling_2", 2)
    assert by_cpu["name"] == "scaling_2_cpu"
    assert by_cpu["value"] == pytest.approx(
        2 * by_cpu["detail"]["one_cpu_seconds"] / by_cpu["detail"]["cpu_seconds"], rel=1e-2
    )
    assert found["value"] == pytest.approx(
        found["detail"]["one_flow_seconds"] / found["detail"]["flow_seconds"], rel=1e-2
    )
    assert list(tmp_path.iterdir()) == []


def test_ticks_cost_what_more_days_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    [found] = results("ticks", "--tick-accounts", "300", "--tick-days", "8")
    parameters, detail = found["parameters"], found["detail"]
    assert parameters["tick_scores"] == 300 * 7
    assert parameters["fewer_tick_scores"] == 300 * 2
    more = detail["cpu_seconds"] - detail["fewer_cpu_seconds"]
    assert found["value"] == pytest.approx(more / (300 * 5) * 1e6, abs=10)
    assert found["floor"] > 0
    assert list(tmp_path.iterdir()) == []


def test_refused_events_are_compared_with_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    [found] = results("refused", "--accounts", "20", "--events", "4000", "--days", "2")
    assert found["parameters"]["refused_more"] == 4000
    assert found["parameters"]["other_more"] == 4000
    detail = found["detail"]
    more = detail["cpu_seconds_with_refused"] - detail["cpu_seconds"]
    assert found["value"] == pytest.approx(more / 4000 * 1e6, abs=3)
    assert list(tmp_path.iterdir()) == []


def test_an_idle_worker_is_watched_when_it_has_read_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 0.5)
    share, memory_found = results("idle", "--partitions", "2", "--seconds", "1", "--brokers", "")
    assert (share["name"], memory_found["name"]) == ("idle", "idle_memory")
    assert share["parameters"]["partitions"] == 6
    assert share["parameters"]["transport"] == "log directory"
    assert 0 < share["value"] < (os.cpu_count() or 1)
    assert memory_found["value"] > 50_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_history_says_what_all_of_its_events_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    measured, whole = history.measure(0.5, processes=1, seed=1, accounts=20, days=4, events=4_000)
    assert (measured.name, whole.name) == ("history", "history_extrapolated")
    assert 2_000 < measured.parameters["events"] < whole.parameters["all_events"]
    detail = whole.detail
    assert whole.value == pytest.approx(
        detail["without_events_seconds"] + 4_000 / 1e6 * detail["million_events_seconds"], rel=1e-6
    )
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "needs a broker; name it with --brokers or C360_KAFKA_BROKERS"),
        (["--brokers", "127.0.0.1:1", "--clickhouse-dsn", "chdb:///tmp/x"], "--clickhouse-dsn names no server"),
    ],
)
def test_without_a_broker_it_says_what_is_missing(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("C360_KAFKA_BROKERS", raising=False)
    done = bench("kafka", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
