"""`c360 evaluate` from end to end: the figures, the report made of them, and what it says when it cannot."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from c360_stream.cli.main import cli
from c360_stream.features.definitions import FEATURES, GROUPS
from c360_stream.tools.evaluate.command import writing
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, simulate

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)<&script>"
SETTINGS = {"C360_WARMUP_OUTCOMES": "60", "C360_WARMUP_CHURNED": "5"}
SWEEP = """
[worlds]
seeds = [1, 2]
accounts = 40
days = 140
events_per_account_day = 6
[settings]
warmup_outcomes = 60
warmup_churned = 5
[[run]]
name = "as it is"
[[run]]
name = "rule"
champion = "inactivity-rule"
"""
DEADLINE_SECONDS = 60.0


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)], prog_name="c360", env=SETTINGS)


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "evaluate.json").read_text())
    return found


def write_log(place: Path, *, accounts: int = 60, days: int = 150, scenario: str = "steady", seed: int = 3) -> Path:
    place.mkdir(parents=True)
    spec = SimulationSpec(accounts, days, seed, scenario=scenario, events_per_account_day=6.0)
    simulate(spec, LogDirectorySink(place, spec.topic_prefix, spec.partitions), place / "truth.jsonl")
    return place


@pytest.fixture(scope="module")
def hostile_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company in which prices rise, with an account, and a directory, whose name is hostile."""
    place = write_log(
        tmp_path_factory.mktemp("hostile") / "<script>log", accounts=200, days=260, scenario="price_increase"
    )
    first = json.loads((place / "truth.jsonl").read_text().splitlines()[0])["account_id"]
    for path in place.rglob("*.jsonl"):
        path.write_text(path.read_text().replace(f'"{first}"', f'"{HOSTILE}"'))
    with (place / "c360.support.events.v1" / "0.jsonl").open("a") as file:
        file.write("not an event\n" * 3)
    return place


@pytest.fixture(scope="module")
def evaluated(hostile_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    done = evaluate("--log-dir", hostile_log, "--change", "2024-05-10", "--out", out)
    assert done.exit_code == 0, done.stderr
    return out


def test_the_json_has_what_it_promises(evaluated: Path) -> None:
    found = figures(evaluated)
    assert found.keys() == {
        *("format", "runs", "lightgbm", "stumps", "verdicts", "criteria", "summary", "run_summary"),
        *("detector_summary", "worlds", "environment"),
    }
    [world] = found["worlds"]
    scorers = world["scorers"]
    batch = ["lightgbm-28d", "stumps-28d", "logistic-28d"]
    assert list(scorers) == ["default", *batch, "floor", "oracle", "inactivity-rule", "base-rate", "silence"]
    assert world["change"] == "2024-05-10"
    assert world["judged_from"] == world["lightgbm_fits"][0]
    assert world["refused"] == 3
    malformed = {"topic": "c360.support.events.v1", "exception_message": "JSON is malformed: invalid character"}
    assert world["refusals"] == [malformed | {"dead_letters": 3}]
    told = "refused: 3 of c360.support.events.v1: JSON is malformed: invalid character"
    assert f"<li>{told}</li>" in (evaluated / "report.html").read_text()
    sizes = {one["segments"]["all"]["examples"] for one in scorers.values()}
    assert sizes == {world["examples"]}, "all are judged on the same examples"
    assert scorers["oracle"]["segments"]["all"]["calibration_ratio_true"] == 1.0
    order = [scorers[name]["segments"]["all"]["expected_roc_auc"] for name in ("oracle", "floor", "base-rate")]
    assert order == sorted(order, reverse=True)
    assert "log_loss" not in scorers["silence"]["segments"]["all"], "an order is no risk"
    assert not any(name.startswith("roc_auc_") for name in scorers["default"]["segments"]["all"])
    compared = world["comparison"]
    assert compared.keys() == {name for name, one in scorers["default"]["segments"].items() if one["examples"]}
    for name, one in scorers.items():
        assert compared["all"]["scorers"][name]["roc_auc"]["value"] == one["segments"]["all"]["roc_auc"]
    second = world["second_month"]
    assert second["first_day"] > "2024-01-30"
    assert second["examples"] > world["examples"], "it does not wait for LightGBM"
    assert second["scorers"].keys() == {"default", "oracle", "inactivity-rule", "base-rate", "silence"}
    assert len(world["lightgbm_rounds"]) == len(world["lightgbm_fits"])
    assert set(world["importance"]) == set(GROUPS)
    assert world["ablation"] is None
    run = world["runs"]["default"]
    assert set(run["contributions"]["groups"]) == set(GROUPS)
    assert max(run["contributions"]["groups"].values()) > 0
    assert {"online-logistic", "inactivity-rule"} <= run["contenders"]["scorers"].keys()
    latency = found["environment"]["worlds"][0]["latency"]
    assert latency["batch"].keys() == set(batch)
    assert latency["runs"]["default"]["online-logistic"]["microseconds_an_example"] > 0
    assert latency["runs"]["default"]["base-rate"]["microseconds_an_example"] is None
    assert run["champions"][0]["model"] == "prior-rule"
    assert run["champions"][-1]["last_day"] == world["last_tick"]
    judged, calls = run["judgement"], run["calls"]
    own = scorers["default"]["segments"]["all"]
    assert judged["roc_auc"]["value"] == pytest.approx(own["roc_auc"], rel=1e-5)
    above = own["roc_auc"] - scorers["lightgbm-28d"]["segments"]["all"]["roc_auc"]
    assert judged["against"]["lightgbm-28d"]["value"] == pytest.approx(above, abs=1e-5)
    assert sum(band["examples"] for band in judged["bands"]) == world["examples"]
    assert calls["model"]["cancellations"] == calls["rule"]["cancellations"] == run["lead_time"]["cancellations"]
    assert 0 < calls["model"]["caught"] <= calls["model"]["cancellations"]
    assert run["lead_time"]["cancellations"] == run["tiers"]["cancellations"] > 0
    assert run["lead_time"]["entries"] <= run["tiers"]["entries"], "the former only if their horizon has passed"
    assert 0 < run["tiers"]["recall"] <= 1
    assert world["detectors"]["river"].keys() == {"ADWIN", "PageHinkley", "KSWIN", "DDM"}
    assert world["labels"]["by_age"][60] == 1.0
    assert found["runs"]["default"]["warmup_outcomes"] == 60
    assert found["lightgbm"]["refit_days"] == 28


def test_the_report_shows_the_figures(evaluated: Path) -> None:
    found, page = figures(evaluated), (evaluated / "report.html").read_text()
    text = unescape(page)
    for row in found["summary"]:
        if "roc_auc" in row:
            assert f"{row['roc_auc']['mean']:.3f}" in text
    for row in found["criteria"]:
        assert row["what"] in text
    [row] = found["run_summary"]
    assert "Do tiers stay?" in text
    assert f">{row['high_days_per_account_month']['mean']:.2f}</td>" in page
    [world] = found["worlds"]
    assert f"{world['examples']:,} examples" in text
    for name, value in found["runs"]["default"].items():
        assert f">{name}</td>" in page
        assert str(value) in text
    assert page.count("<figure>") == page.count("<svg ") == 9


def test_the_verdict_comes_first_and_the_projects_own_limits_last(evaluated: Path) -> None:
    found, page = figures(evaluated), unescape((evaluated / "report.html").read_text())
    [verdict] = found["verdicts"]
    sentences = [verdict["headline"], *(each for key in ("ranking", "probabilities", "calls") for each in verdict[key])]
    places = [page.index(each) for each in sentences]
    rest = [page.index(each) for each in (*verdict["limits"], *verdict["basis"], "<h2>Quality", "<svg ", "<h2>Details")]
    assert places + rest == sorted(places + rest)
    limits = page.index("<h2>Appendix: the project's own limits")
    assert all(page.index(row["what"]) > limits > rest[-1] for row in found["criteria"])


def test_what_features_are_worth(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", accounts=80, days=170)
    done = evaluate("--log-dir", log, "--ablation", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    [world] = figures(tmp_path / "out")["worlds"]
    assert world["ablation"]["groups"].keys() == set(GROUPS)
    assert world["ablation"]["features"].keys() == set(FEATURES)
    assert any(one["roc_auc"]["value"] for one in world["ablation"]["features"].values())
    page = unescape((tmp_path / "out" / "report.html").read_text())
    assert "LightGBM without each single feature" in page
    assert all(f"<td>{name}</td>" in page for name in (*GROUPS, *FEATURES))


def test_a_company_too_small_for_a_batch_model_is_judged_from_the_second_month_on(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(
        "[worlds]\nseeds = [2]\naccounts = 120\ndays = 300\nevents_per_account_day = 6\n"
        "[settings]\nwarmup_outcomes = 100000\n"
    )
    done = evaluate("--sweep", tmp_path / "sweep.toml", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    found = figures(tmp_path / "out")
    [world] = found["worlds"]
    assert world["lightgbm_fits"] == []
    assert not {"lightgbm-28d", "stumps-28d", "logistic-28d"} & world["scorers"].keys()
    assert world["comparison"]["all"]["best_peer"] == {}
    assert (world["importance"], world["ablation"]) == (None, None)
    second = date.fromisoformat(world["second_month"]["first_day"])
    assert 30 <= (second - date.fromisoformat(world["first_tick"])).days < 37
    assert world["judged_from"] == world["second_month"]["first_day"]
    assert world["examples"] == world["second_month"]["examples"]
    [verdict] = found["verdicts"]
    assert verdict["in_short"][0] == "No batch model could be fitted to compare with: too few outcomes were known."
    assert "All from the second month on is judged" in " ".join(verdict["basis"])
    assert any(each.startswith(f"From the second month on ({second})") for each in verdict["ranking"])


def test_the_terminal_says_the_verdict_first(tmp_path: Path) -> None:
    done = evaluate("--log-dir", write_log(tmp_path / "log"), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    [verdict] = figures(tmp_path / "out")["verdicts"]
    assert done.stdout.startswith(f"log, default: {verdict['headline']}\n")
    assert " ".join(verdict["calls"]) in " ".join(done.stdout.replace("\n- ", "\n").split())


def test_a_company_that_nobody_left(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", accounts=30, days=130)
    (log / "truth.jsonl").unlink()
    for path in log.glob("*.billing.events.v1/*.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"subscription_cancelled"' not in line))
    done = evaluate("--log-dir", log, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    [verdict] = figures(tmp_path / "out")["verdicts"]
    assert verdict["grade"] == "nobody"
    assert verdict["headline"] in (tmp_path / "out" / "report.html").read_text()


def test_a_log_that_is_hardly_long_enough(tmp_path: Path) -> None:
    done = evaluate("--log-dir", write_log(tmp_path / "log", accounts=6, days=75), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    [verdict] = figures(tmp_path / "out")["verdicts"]
    assert verdict["grade"] in {"nobody", "too_few"}
    assert verdict["headline"] in done.stdout


def test_a_model_that_is_the_rule_is_not_called_better_than_it(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(
        "[worlds]\nseeds = [1]\naccounts = 200\ndays = 260\nevents_per_account_day = 6\n"
        '[[run]]\nname = "rule"\nchampion = "inactivity-rule"\n[[run]]\nname = "base"\nchampion = "base-rate"\n'
    )
    done = evaluate("--sweep", tmp_path / "sweep.toml", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    grades = {one["run"]: one["grade"] for one in figures(tmp_path / "out")["verdicts"]}
    assert grades["rule"] in {"as_rule", "worse_than_rule"}
    assert grades["base"] in {"chance", "worse_than_rule"}
    [world] = figures(tmp_path / "out")["worlds"]
    contest = world["runs"]["rule"]["contenders"]
    assert "inactivity-rule" in contest["models"]
    assert contest["scorers"]["stored"] == contest["scorers"]["inactivity-rule"], "which is all that ever scored"
    assert world["runs"]["base"]["contenders"]["scorers"]["stored"] != contest["scorers"]["stored"]


def test_the_report_needs_nothing_from_elsewhere_and_runs_nothing(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert "<script" not in page.lower()
    assert escape("<script>log") in page
    assert not re.search(r"https?:|\bsrc=|@import|url\((?!#)|<link|<object|<iframe|javascript:", page)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
    ids = Counter(re.findall(r'\bid="([^"]*)"', page))
    assert [name for name, count in ids.items() if count > 1] == []
    linked = set(re.findall(r'href="#([^"]*)"', page)) | set(re.findall(r"url\(#([^)]*)\)", page))
    assert linked
    assert linked <= ids.keys()


def test_truth_is_optional(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log")
    (log / "truth.jsonl").rename(tmp_path / "elsewhere.jsonl")
    assert evaluate("--log-dir", log, "--out", tmp_path / "without").exit_code == 0
    [without] = figures(tmp_path / "without")["worlds"]
    assert without["truth_note"]
    assert not {"floor", "oracle"} & without["scorers"].keys()
    assert "calibration_ratio_true" not in without["scorers"]["default"]["segments"]["all"]
    done = evaluate("--log-dir", log, "--truth", tmp_path / "elsewhere.jsonl", "--out", tmp_path / "with")
    assert done.exit_code == 0
    [beside] = figures(tmp_path / "with")["worlds"]
    assert not beside["truth_note"]
    assert (
        beside["scorers"]["default"]["segments"]["all"]["log_loss"]
        == (without["scorers"]["default"]["segments"]["all"]["log_loss"])
    )


def test_a_sweep_gives_the_same_figures_in_any_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        done = evaluate("--sweep", tmp_path / "sweep.toml", "--out", out, "--processes", processes)
        assert done.exit_code == 0, done.stderr
        assert sorted(path.name for path in out.iterdir()) == ["evaluate.json", "report.html"]
        found.append(figures(out))
        found[-1].pop("environment")
    assert found[0] == found[1]
    assert [world["world"]["seed"] for world in found[0]["worlds"]] == [1, 2]
    [own, rule] = [row for row in found[0]["summary"] if row["scorer"] in {"as it is", "rule"}]
    assert own["worlds"] == rule["worlds"] == 2
    assert own["roc_auc"]["mean"] != rule["roc_auc"]["mean"]
    alarms = {row["run"]: row["alarms_per_year"]["mean"] for row in found[0]["run_summary"]}
    assert alarms["rule"] == pytest.approx(
        sum(world["runs"]["rule"]["alarms"]["per_year"] for world in found[0]["worlds"]) / 2, rel=1e-5
    )
    rows = {row["detector"]: row for row in found[0]["detector_summary"] if row["river"]}
    false = [world["detectors"]["river"]["PageHinkley"]["false_per_year"] for world in found[0]["worlds"]]
    assert rows["PageHinkley"]["false_per_year"]["mean"] == pytest.approx(sum(false) / 2, rel=1e-5, abs=1e-9)
    mean = sum(world["scorers"]["rule"]["segments"]["all"]["roc_auc"] for world in found[0]["worlds"]) / 2
    assert rule["roc_auc"]["mean"] == pytest.approx(mean, rel=1e-5)


def test_an_outage_is_held_against_the_same_world_without_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = evaluate("--scenario", "outage", "--accounts", 60, "--days", 150, "--seed", 4, "--out", out)
    assert done.exit_code == 0, done.stderr
    [world] = figures(out)["worlds"]
    outage = world["runs"]["default"]["outage"]
    assert outage["begin"] == "2024-04-16T10:00:00+00:00"
    assert 0 < outage["hours_to_freshness"] <= 24
    assert outage["tier_changed_share_because"] <= min(outage["tier_changed_share"], outage["tier_differs_share"])
    beyond = outage["tier_changed_share"] - outage["tier_changed_share_without"]
    assert outage["tier_changed_share_beyond"] == pytest.approx(beyond, abs=1e-5)
    names = {row["name"] for row in figures(out)["criteria"]}
    assert {"hours_to_freshness", "hours_to_volume", "tier_changed_share_because"} <= names


def assert_refused(done: Result, *said: str) -> None:
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("c360: error: ")]
    assert len(lines) == 1
    for each in said:
        assert each in lines[0]


def test_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    assert_refused(evaluate("--log-dir", tmp_path / "log"), "no input partition in", "name a log directory")
    topic = tmp_path / "log" / "c360.product.events.v1"
    topic.mkdir()
    (topic / "0.jsonl").write_text("")
    assert_refused(evaluate("--log-dir", tmp_path / "log"), "nothing to evaluate: 0 events")
    (topic / "0.jsonl").write_text("not an event\n")
    why = "(1 of c360.product.events.v1: JSON is malformed: invalid character); evaluate a log of some months"
    assert_refused(evaluate("--log-dir", tmp_path / "log"), "nothing to evaluate: 0 events, 1 refused", why)


def test_a_log_without_a_known_outcome(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", accounts=20, days=20)
    assert_refused(
        evaluate("--log-dir", log), "no outcome is known", "19 ticks", "takes 60 days", "evaluate a longer log"
    )


def test_a_truth_that_is_not_this_logs(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", accounts=20, days=90)
    truth = log / "truth.jsonl"
    lines = truth.read_text().splitlines(keepends=True)
    truth.write_text("".join(lines[: len(lines) // 9]))
    assert_refused(evaluate("--log-dir", log), "lacks", "give the truth of this very log")
    truth.write_text(lines[0] + '{"account_id": "a"}\n')
    assert_refused(evaluate("--log-dir", log), "truth.jsonl, line 2: ", "as_of")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--log-dir . --accounts 5", "--log-dir and --accounts cannot be combined"),
        ("--truth evaluate.toml", "--truth needs --log-dir"),
        ("--sweep evaluate.toml --seed 1", "--sweep names the worlds: it cannot be combined with"),
        ("--sweep evaluate.toml", "worlds.seeds"),
        ("--scenario calm", "no scenario 'calm'"),
        ("--accounts 0", "accounts is 0"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "evaluate.toml").write_text("[worlds]\nseeds = 1")
    assert_refused(evaluate(*line.split()), said)
    assert not (tmp_path / "evaluate-out").exists()


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_refused(evaluate(), "needs matplotlib", "pip install --require-hashes -r requirements.lock")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_simulated_is_removed_when_it_is_stopped(
    tmp_path: Path, number: signal.Signals, code: int, processes: int
) -> None:
    (tmp_path / "sweep.toml").write_text("[worlds]\nseeds = [1, 2]\naccounts = 2000\ndays = 700\n")
    command = [sys.executable, "-m", "c360_stream", "evaluate", "--sweep", "sweep.toml", "--out", "out"]
    process = subprocess.Popen(
        [*command, "--processes", str(processes)], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any((tmp_path / "out").glob(".worlds-*/world-*/*/*.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    assert process.wait(DEADLINE_SECONDS) == code, process.communicate()[1]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_evaluation_left_is_removed_by_the_next_but_not_what_a_running_one_has(tmp_path: Path) -> None:
    left, running = tmp_path / ".worlds-left", tmp_path / ".worlds-running"
    for place in (left, running):
        place.mkdir()
        (place / "events.jsonl").write_text("much")
    with (running / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with writing(tmp_path) as scratch:
            assert scratch.is_dir()
            assert not left.exists()
    assert [place.name for place in tmp_path.iterdir()] == [running.name]
