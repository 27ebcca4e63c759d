"""Prometheus rules and Alertmanager routing: alerts say what they must, and fire when they should and only then."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from c360_stream import metrics
from c360_stream.contracts.records import AlarmKind, Severity, Trigger
from c360_stream.metrics import REGISTRY
from c360_stream.models.prior import MODEL_NAME as PRIOR_RULE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules"
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
OPERATIONS = ROOT / "docs/operations.md"
CASES = sorted((Path(__file__).parent / "rules").glob("*.yml"))

SUFFIX = {"counter": "_total", "info": "_info"}
PROMETHEUS_LABELS = {"job", "instance", "le"}
LABEL_VALUES: dict[str, set[str]] = {
    "trigger": set(get_args(Trigger)),
    "kind": set(get_args(AlarmKind)),
    "severity": set(get_args(Severity)),
    "model_name": {PRIOR_RULE},
    "job": {"c360"},
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for path in sorted(RULES.glob("*.yml")) for group in load(path)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def checks() -> Iterator[tuple[str, bool]]:
    """Alert, and whether it is expected to fire, of each check in the cases."""
    for path in CASES:
        for case in load(path)["tests"]:
            for check in case.get("alert_rule_test", []):
                yield check["alertname"], bool(check["exp_alerts"])


def own_metrics() -> dict[str, set[str]]:
    """Names as expressions have them, histograms' without `_bucket`, `_sum`, `_count`; and the labels of each."""
    found: dict[str, set[str]] = {family.name + SUFFIX.get(family.type, ""): set() for family in REGISTRY.collect()}
    for metric in vars(metrics).values():
        if hasattr(metric, "_labelnames"):
            found[metric._name + SUFFIX.get(metric._type, "")] = set(metric._labelnames)
    return found


def run(*command: str) -> str:
    """Output of a tool; the test is skipped without it, and fails if the whole stack is required."""
    if shutil.which(command[0]) is None:
        if os.environ.get("C360_REQUIRE_STACK") == "1":
            pytest.fail(f"C360_REQUIRE_STACK=1, but there is no {command[0]}")
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_must(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert len(alert["annotations"]["summary"]) < 130
    assert len(alert["annotations"]["description"]) > 80
    headings = re.findall(r"^### (\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    assert name in headings


def test_every_runbook_is_of_an_alert() -> None:
    assert sorted(re.findall(r"^### (C360\w+)$", OPERATIONS.read_text(), re.MULTILINE)) == sorted(ALERTS)


def test_every_alert_fires_in_a_case_and_is_quiet_in_another() -> None:
    assert set(checks()) == {(name, fires) for name in ALERTS for fires in (True, False)}


def test_every_recording_rule_has_a_value_in_a_case() -> None:
    asked = [
        check["expr"] for path in CASES for case in load(path)["tests"] for check in case.get("promql_expr_test", [])
    ]
    assert {name for expr in asked for name in re.findall(r"c360:\w+:\w+", expr)} == RECORDED


def test_cases_evaluate_all_groups_in_the_order_of_the_files() -> None:
    """Left out, a group is evaluated first: before what it looks at is recorded."""
    for path in CASES:
        case = load(path)
        groups = [group["name"] for name in case["rule_files"] for group in load(path.parent / name)["groups"]]
        assert case["group_eval_order"] == groups


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.get("alert") or rule.get("record")))
def test_a_rule_asks_for_metrics_labels_and_values_that_exist(rule: dict[str, Any]) -> None:
    expr, known = rule["expr"], own_metrics()
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bc360_\w+", expr)}
    assert names <= known.keys()
    assert set(re.findall(r"c360:\w+:\w+", expr)) <= RECORDED
    labels = PROMETHEUS_LABELS.union(*known.values())
    lists = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expr)
    used = {label.strip() for each in lists for label in each.split(",")}
    assert used - {""} <= labels
    for label, value in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', expr):
        assert set(value.split("|")) <= LABEL_VALUES[label]


def test_names_of_metrics_are_found_as_they_are_exposed() -> None:
    known = own_metrics()
    assert known["c360_sink_flush_duration_seconds"] == {"sink"}
    assert known["c360_scores_emitted_total"] == {"trigger", "tier"}
    assert {"c360_model_info", "c360_ready", "c360_process_start_time_seconds"} <= known.keys()


def test_alertmanager_names_alerts_that_exist() -> None:
    for rule in load(ALERTMANAGER)["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            pattern = re.fullmatch(r'alertname=~?"(.*)"', matcher)
            assert pattern is not None, matcher
            # Each alternative by itself, so that a name which is gone shows.
            prefix, _, rest = pattern[1].partition("(")
            for each in rest.removesuffix(")").split("|") if rest else prefix.split("|"):
                assert any(re.fullmatch((prefix if rest else "") + each, name) for name in ALERTS), (matcher, each)


def test_alertmanager_sends_nothing_until_it_is_told_where() -> None:
    assert all(set(receiver) == {"name"} for receiver in load(ALERTMANAGER)["receivers"])


def test_prometheus_scrapes_the_job_that_the_rules_know() -> None:
    config = load(PROMETHEUS)
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert jobs["c360"] == ["worker:8361", "worker:8362"]
    assert config["global"]["scrape_interval"] == "15s"


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    text = PROMETHEUS.read_text()
    assert "/etc/prometheus/rules/*.yml" in text
    config.write_text(text.replace("/etc/prometheus/rules/*.yml", f"{RULES}/*.yml"))
    said = run("promtool", "check", "config", "--lint=all", "--lint-fatal", str(config))
    assert said.count("rules found") == len(list(RULES.glob("*.yml")))


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.stem))
def test_promtool_finds_the_cases_as_expected(path: Path) -> None:
    run("promtool", "test", "rules", str(path))


def test_amtool_accepts_the_configuration() -> None:
    assert "3 receivers" in run("amtool", "check-config", str(ALERTMANAGER))


ROUTES = [("severity=critical", "page"), ("severity=warning", "ticket"), ("a=b", "show")]


@pytest.mark.parametrize(("labels", "receiver"), ROUTES)
def test_critical_pages_warning_becomes_a_ticket(labels: str, receiver: str) -> None:
    said = run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", labels, "alertname=C360NotReady")
    assert said.split() == [receiver]
