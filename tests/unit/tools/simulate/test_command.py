"""`c360 simulate`: the same bytes for the same seed, one place to write to, and no world mixed with another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from c360_stream.cli.main import cli
from c360_stream.tools.simulate import SCENARIOS


def simulate(*args: str, seed: int = 7) -> Result:
    world = ["--accounts", "20", "--days", "30", "--seed", str(seed)]
    return CliRunner().invoke(cli, ["simulate", *world, *args], prog_name="c360")


def digest(directory: Path) -> str:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(p.relative_to(directory)).encode() + p.read_bytes() for p in files)).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    for out, seed in (("a", 7), ("b", 7), ("c", 8)):
        done = simulate("--out", out, seed=seed)
        assert done.exit_code == 0, done.stderr
    assert digest(Path("a")) == digest(Path("b")) != digest(Path("c"))


def test_it_says_what_it_wrote_and_how_far_it_is() -> None:
    result = simulate("--out", "log", "--start", "2025-03-01", "--truth", "elsewhere.jsonl")
    assert result.exit_code == 0, result.stderr
    product = Path("log/c360.product.events.v1")
    lines = sum(len(path.read_bytes().splitlines()) for path in product.iterdir())
    assert f"product {lines:,}, " in result.stdout
    assert "20 accounts over 30 days in log; " in result.stdout
    assert result.stderr.splitlines()[-1].startswith("simulating: day 30 of 30, ")
    assert '"as_of":"2025-03-' in Path("elsewhere.jsonl").read_text()
    assert not Path("log/truth.jsonl").exists()


def test_the_topic_prefix_is_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_TOPIC_PREFIX", "acme")
    done = simulate("--out", "log")
    assert done.exit_code == 0, done.stderr
    assert Path("log/acme.billing.events.v1/0.jsonl").is_file()


def test_a_second_world_is_not_mixed_with_the_first() -> None:
    simulate("--out", "log")
    before = digest(Path("log"))
    result = simulate("--out", "log", seed=8)
    assert result.exit_code == 2, result.stderr
    assert "already holds events" in result.stderr
    assert digest(Path("log")) == before


def test_kafka_in_the_environment_does_not_turn_out_into_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_KAFKA_BROKERS", "nosuch.invalid:9092")
    done = simulate("--out", "log")
    assert done.exit_code == 0, done.stderr


def test_help_names_every_scenario() -> None:
    shown = CliRunner().invoke(cli, ["simulate", "--help"]).output
    assert all(name in shown for name in SCENARIOS)
