"""The dashboards: what they ask is asked of real tables, and the files are what the code says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from c360_stream.metrics import REGISTRY
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, simulate
from deploy.dashboards import DASHBOARDS
from deploy.dashboards.__main__ import DIRECTORY, text_of
from deploy.dashboards.macros import expanded
from deploy.dashboards.panel import COLUMNS, Dashboard, Field, Kind, Panel, Query, Shape, Source, promql, sql
from tests.reference.flow_run import FlowRun
from tests.reference.tables import TableRow, query_elsewhere

DEPLOY = Path(__file__).parents[2] / "deploy"
START, DAYS = datetime(2025, 1, 1, tzinfo=UTC), 200
END = START + timedelta(days=DAYS, hours=12)
# Units by Grafana's ids; a misspelt one would be shown as text behind each number.
UNITS = {
    *("none", "short", "locale", "string", "percentunit", "s", "d", "bytes", "binBps", "recps", "rowsps"),
    *("dateTimeAsIso", "dateTimeFromNow"),
}
TABLES = (
    "risk_scores",
    "account_features",
    "departures",
    "outcomes",
    "model_metrics",
    "model_versions",
    "drift_alarms",
    "interventions",
)
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
NAMES = [f"{dashboard.name}: {panel.title}" for dashboard, panel in PANELS]


def asked(dashboard: Dashboard, source: Source) -> Iterator[tuple[str, Panel | None, Query]]:
    """Every query to a data source, with its panel; annotations have none."""
    for panel in dashboard.panels:
        for query in panel.queries:
            if query.source is source:
                yield panel.title, panel, query
    for annotation in dashboard.annotations:
        if annotation.query.source is source:
            yield annotation.name, None, annotation.query


def all_asked(source: Source) -> list[tuple[Dashboard, str, Panel | None, Query]]:
    return [(each, *found) for each in DASHBOARDS for found in asked(each, source)]


def text(dashboard: Dashboard, query: Query) -> str:
    return expanded(query.text, END - timedelta(days=180), END, dashboard.defaults)


# Files ------------------------------------------------------------------------


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_a_file_is_what_the_code_says(dashboard: Dashboard) -> None:
    written = (DIRECTORY / f"{dashboard.name}.json").read_text(encoding="utf-8")
    assert written == text_of(dashboard), "run `make dashboards`"


def test_no_other_dashboard_is_provisioned() -> None:
    assert sorted(path.name for path in DIRECTORY.iterdir()) == sorted(f"{each.name}.json" for each in DASHBOARDS)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_a_file_holds_what_grafana_needs(dashboard: Dashboard) -> None:
    written = json.loads(text_of(dashboard))
    assert written["uid"] == dashboard.uid == f"c360-{dashboard.name}"
    assert written["refresh"]
    assert written["time"]["from"].startswith("now-")
    [link] = written["links"]
    assert link["tags"] == written["tags"] == ["c360"], "the links are to all dashboards with the tag"
    assert len({panel["id"] for panel in written["panels"]}) == len(written["panels"])
    for panel in written["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == panel["targets"][0]["datasource"]
            assert panel["title"].endswith("?")
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_panels_fill_the_width_and_do_not_overlap(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(text_of(dashboard))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < COLUMNS, panel["title"]
        taken |= cells
    height = 1 + max(y for _, y in taken)
    assert len(taken) == COLUMNS * height, "a gap in the layout"


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=NAMES)
def test_a_panel_says_how_to_read_it(dashboard: Dashboard, panel: Panel) -> None:
    assert panel.description.endswith(".")
    assert {panel.unit, *(field.unit for field in panel.fields if field.unit)} <= UNITS
    assert [each.value for each in panel.thresholds] == sorted(each.value for each in panel.thresholds)
    if panel.kind in (Kind.TABLE, Kind.BARS) or Shape.WIDE in {query.shape for query in panel.queries}:
        assert panel.fields


def test_titles_differ() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({each.title for each in DASHBOARDS}) == len(DASHBOARDS)


# Provisioning -----------------------------------------------------------------


def provisioned(kind: str) -> list[dict[str, Any]]:
    [file] = (DEPLOY / "grafana" / "provisioning" / kind).glob("*.yml")
    content = yaml.safe_load(file.read_text())
    assert content["apiVersion"] == 1
    listed: list[dict[str, Any]] = content["datasources" if kind == "datasources" else "providers"]
    return listed


def test_every_data_source_is_provisioned() -> None:
    sources = {each["uid"]: each for each in provisioned("datasources")}
    assert set(sources) == {each.value for each in Source}
    written = [text_of(each) for each in DASHBOARDS]
    for uid, source in sources.items():
        assert any(f'{{"type": "{source["type"]}", "uid": "{uid}"}}' in each for each in written)


def test_the_password_is_read_from_a_secret() -> None:
    [clickhouse] = [each for each in provisioned("datasources") if each["uid"] == Source.CLICKHOUSE.value]
    assert clickhouse["jsonData"]["username"] == "grafana"
    assert clickhouse["secureJsonData"] == {"password": "$__file{/run/secrets/clickhouse_grafana_password}"}
    assert "password" not in json.dumps(clickhouse["jsonData"])


def test_grafana_reads_the_files_and_changes_none() -> None:
    [provider] = provisioned("dashboards")
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False


# PromQL -----------------------------------------------------------------------


def exported() -> set[str]:
    """Names of all series that a process can export."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
    return {family.name + ending for family in REGISTRY.collect() for ending in endings.get(family.type, ("",))}


def recorded() -> set[str]:
    """Names of all recording rules."""
    groups = [
        group
        for path in (DEPLOY / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


PROMQL = [(dashboard, title, query) for dashboard, title, _, query in all_asked(Source.PROMETHEUS)]


@pytest.mark.parametrize(
    ("dashboard", "title", "query"), PROMQL, ids=[f"{each.name}: {title}" for each, title, _ in PROMQL]
)
def test_promql_asks_for_series_that_exist(dashboard: Dashboard, title: str, query: Query) -> None:
    named = set(re.findall(r"\bc360[\w:]+", query.text))
    assert named <= exported() | recorded()
    assert named or "ALERTS" in query.text


def test_promql_parses(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None and not os.environ.get("C360_REQUIRE_STACK"):
        pytest.skip("no promtool")
    assert promtool, "C360_REQUIRE_STACK is set and there is no promtool"
    rules = [
        {"record": f"asked:{number}", "expr": text(dashboard, query), "labels": {"title": title}}
        for number, (dashboard, title, query) in enumerate(PROMQL)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(PROMQL)} rules found" in done.stdout


# SQL --------------------------------------------------------------------------

SQL = all_asked(Source.CLICKHOUSE)
# Left out of a week in which few accounts left, which in a small company is the rule.
SPARSE = {"auc", "auc_low", "auc_high"}
Rows = list[list[TableRow]]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A company in whom something changes, run to the end; horizons are short, so that outcomes are known."""
    source = tmp_path_factory.mktemp("company")
    spec = SimulationSpec(
        130,
        DAYS,
        seed=6,
        start=START.date(),
        scenario="price_increase",
        events_per_account_day=6.0,
        topic_prefix="c360",
    )
    simulate(spec, LogDirectorySink(source, spec.topic_prefix, spec.partitions), source / "truth.jsonl")
    run = FlowRun(source, tmp_path_factory.mktemp("run"), settings={"C360_SHARDS": "4"})
    run.finish()
    return run


@pytest.fixture(scope="module")
def answers(replay: FlowRun) -> tuple[Rows, Rows]:
    """The rows of every SQL query, and once more after each stored row has been written again."""
    queries = [text(dashboard, query) for dashboard, _, _, query in SQL]
    again = [f"INSERT INTO {table} SELECT * FROM {table}" for table in TABLES]
    found = query_elsewhere(replay.dsn, *queries, *again, *queries)
    return found[: len(SQL)], found[len(SQL) + len(again) :]


@pytest.mark.parametrize(
    "number", range(len(SQL)), ids=[f"{dashboard.name}: {title}" for dashboard, title, _, _ in SQL]
)
def test_sql_answers_what_the_panel_shows(number: int, answers: tuple[Rows, Rows]) -> None:
    _, _, panel, query = SQL[number]
    rows, doubled = answers[0][number], answers[1][number]
    assert doubled == [closely(row) for row in rows], "a row that is stored twice counts twice"
    if panel is None:
        assert all(list(row) == ["time", "title", "text", "tags"] for row in rows)
        return
    if panel.expects_data and not panel.live_only:
        assert rows
    if rows:
        shaped(panel, query, rows)


def closely(row: TableRow) -> TableRow:
    """A row to compare with: sums of floats depend on the order of their terms in the last digit."""
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


def shaped(panel: Panel, query: Query, rows: list[TableRow]) -> None:
    """Columns are those that the panel names, in order; none is empty, and times ascend."""
    columns, named = list(rows[0]), [field.name for field in panel.fields]
    if query.shape is Shape.WIDE:
        assert columns == ["time", *named]
    elif query.shape is Shape.LONG:
        assert columns[:2] == ["time", "series"]
        assert len(columns) == 3
    elif panel.kind in (Kind.TABLE, Kind.BARS):
        assert columns == named
    else:
        assert len(columns) == len(rows) == 1
    for column in set(columns) - SPARSE:
        assert any(row[column] is not None for row in rows), f"{column} is empty"
    if query.shape is not Shape.TABLE:
        times = [row["time"] for row in rows]
        assert times == sorted(times)
        if query.shape is Shape.WIDE:
            assert len(set(times)) == len(times)


def rows_of(title: str, answers: tuple[Rows, Rows]) -> list[TableRow]:
    [number] = [place for place, (_, asked_title, _, _) in enumerate(SQL) if asked_title == title]
    return answers[0][number]


def test_only_active_accounts_are_counted(replay: FlowRun, answers: tuple[Rows, Rows]) -> None:
    active = "as_of >= (SELECT max(as_of) FROM risk_scores WHERE trigger = 'tick')"
    [[known]] = query_elsewhere(
        replay.dsn,
        f"SELECT uniqExactIf(account_id, {active}) AS active, uniqExact(account_id) AS ever FROM risk_scores",
    )
    [counted] = rows_of("How many accounts are there?", answers)
    assert counted["accounts"] == known["active"] < known["ever"]
    tiers = rows_of("How do accounts and MRR spread over the tiers?", answers)
    segments = rows_of("What kinds of customers are there, and what are they worth?", answers)
    for rows in (tiers, segments):
        assert sum(row["accounts"] for row in rows) == known["active"]
    [money] = rows_of("How much MRR is there?", answers)
    assert sum(row["mrr"] for row in tiers) == pytest.approx(money["mrr"])
    listed = [row["account"] for row in rows_of("Who should be called first?", answers)]
    assert len(set(listed)) == len(listed) == min(50, known["active"])


def test_flags_are_held_against_outcomes_that_are_all_known(answers: tuple[Rows, Rows]) -> None:
    rows = rows_of("Did the flags come true?", answers)
    # Had cancellations of the last horizon counted, of which no stay is known, nearly all would have left.
    assert 0 < sum(row["cancelled"] for row in rows) < 0.5 * sum(row["scores"] for row in rows)


# What panels refuse -----------------------------------------------------------


def test_a_panel_without_a_question_is_refused() -> None:
    with pytest.raises(ValueError, match="asks no question"):
        Panel("Accounts", "How many.", "none", Kind.STAT, (sql("SELECT 1"),))


def test_a_panel_that_may_be_empty_says_why() -> None:
    with pytest.raises(ValueError, match="reason"):
        Panel("Any?", "How many.", "none", Kind.STAT, (sql("SELECT 1"),), expects_data=False)


def test_a_panel_has_one_data_source() -> None:
    with pytest.raises(ValueError, match="mixes"):
        Panel("Any?", "How many.", "none", Kind.STAT, (sql("SELECT 1"), promql("up")), (Field("a", "a"),))


def test_what_nobody_would_replace_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$other stands for nothing"):
        expanded("SELECT '$other', $__toTime", START, END, {})
