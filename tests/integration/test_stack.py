"""The deployment as a whole, without containers: every query of every dashboard and rule, asked while it runs.

The processes are those of the compose file; see `tests.integration.stack`. The tests run in the order of this file:
what disturbs the run comes last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer

from c360_stream.settings import Settings
from deploy.dashboards import DASHBOARDS
from deploy.dashboards.panel import Dashboard, Panel, Query
from tests.deploy.compose import ROOT
from tests.integration.kafka_broker import KafkaUnavailableError
from tests.integration.stack.answers import Observer, has_data
from tests.integration.stack.monitoring import rule_queries
from tests.integration.stack.stack import WORKER_DOWN_ALERT, Stack
from tests.integration.stack.web import QueryError

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

# As much history as every panel needs that expects data: outcomes 60 days old and enough of them to learn from,
# yearly contracts that are about to end.
ACCOUNTS, DAYS, LIVE_SECONDS = 150, 330, 30.0
SEEN_SECONDS_MAX = 60
HEARTBEAT_AGE_SECONDS_MAX = 60.0
LATE_SHARE_MAX = 0.01
PROGRAMS = ("prometheus", "prometheus-alertmanager", "java")
BROKEN_EVENTS = 5
# Compare with what has not been yet: a week of ticks, the lag of a log directory.
EMPTY_RECORDINGS = {"c360:consumer_lag_bytes:sum", "c360:tick_scores_per_tick:median7d"}


@dataclass(frozen=True)
class Case:
    """A panel of a dashboard."""

    dashboard: Dashboard
    panel: Panel

    def __str__(self) -> str:
        return f"{self.dashboard.name}: {self.panel.title}"


PANELS = [Case(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
ANNOTATIONS = [
    pytest.param(dashboard, annotation.query, id=f"{dashboard.name}: {annotation.name}")
    for dashboard in DASHBOARDS
    for annotation in dashboard.annotations
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, live for half a minute. Skipped without its programs, or failed if `C360_REQUIRE_STACK=1`."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        _unavailable(f"no {', '.join(missing)}")
    running = Stack(tmp_path_factory.mktemp("stack"), accounts=ACCOUNTS, days=DAYS)
    try:
        with running:
            running.wait_for_live(LIVE_SECONDS)
            yield running
    except KafkaUnavailableError as error:
        _unavailable(str(error))


@pytest.fixture(scope="module")
def observer(stack: Stack) -> Observer:
    """Somebody who looks at the dashboards after that."""
    return stack.observer()


def _unavailable(reason: str) -> None:
    if os.environ.get("C360_REQUIRE_STACK") == "1":
        pytest.fail(f"C360_REQUIRE_STACK=1, but {reason}")
    pytest.skip(reason)


def test_every_target_is_scraped(stack: Stack) -> None:
    targets = stack.prometheus.targets()
    assert {target["labels"]["job"] for target in targets} == {"c360", "prometheus", "alertmanager"}
    assert [target for target in targets if target["health"] != "up"] == []
    assert len([target for target in targets if target["labels"]["job"] == "c360"]) == len(stack.worker_addresses())


def test_every_rule_is_loaded_and_healthy(stack: Stack) -> None:
    rules = stack.prometheus.rules()
    asked = rule_queries(ROOT / "deploy" / "prometheus" / "rules")
    assert sorted(rule["name"] for rule in rules) == sorted(name for name, _ in asked)
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_every_recording_rule_records(stack: Stack) -> None:
    recorded = {rule["name"] for rule in stack.prometheus.rules() if rule["type"] == "recording"}
    assert {name for name in recorded if not stack.prometheus.instant(name)} == EMPTY_RECORDINGS


@pytest.mark.parametrize("case", PANELS, ids=str)
def test_a_panel_has_an_answer(observer: Observer, case: Case) -> None:
    answers = {query.text: observer.ask(case.dashboard, query) for query in case.panel.queries}
    empty = [text for text, answer in answers.items() if not has_data(answer)]
    assert empty == [] or not case.panel.expects_data


@pytest.mark.parametrize(("dashboard", "query"), ANNOTATIONS)
def test_marks_have_an_answer(observer: Observer, dashboard: Dashboard, query: Query) -> None:
    observer.ask(dashboard, query)  # whether there are any depends on what happened


def test_nothing_alerts_while_all_is_well(stack: Stack) -> None:
    alerts = stack.prometheus.alerts()
    assert [(alert["labels"], alert["annotations"]["summary"]) for alert in alerts] == []


def test_heartbeats_come_through_every_partition_to_every_sink(stack: Stack) -> None:
    ages = stack.prometheus.instant("time() - max by (topic, partition, sink) (c360_heartbeat_timestamp_seconds)")
    settings = Settings()
    sent = {
        (settings.input_topic(kind), str(number)) for kind in ("product", "billing", "support") for number in range(4)
    }
    sinks = {age.labels["sink"] for age in ages}
    assert len(sinks) > 1
    assert {(age.labels["topic"], age.labels["partition"], age.labels["sink"]) for age in ages} == {
        (*place, sink) for place in sent for sink in sinks
    }
    assert max(age.values[0] for age in ages) < HEARTBEAT_AGE_SECONDS_MAX


def test_the_demos_history_is_not_taken_for_late(stack: Stack) -> None:
    late = stack.prometheus.value("sum(c360_late_events_total) / sum(c360_events_accepted_total)")
    assert late is not None
    assert late < LATE_SHARE_MAX


def test_the_services_write_nowhere_but_to_their_volumes(stack: Stack) -> None:
    assert [path for folder in stack.working_folders() for path in folder.iterdir()] == []


@pytest.mark.parametrize("statement", ["TRUNCATE TABLE risk_scores", "INSERT INTO heartbeats SELECT * FROM heartbeats"])
def test_grafanas_user_can_only_read(stack: Stack, statement: str) -> None:
    with pytest.raises(QueryError, match="readonly"):
        stack.tables.execute(statement)


def test_refused_repeated_and_late_events_are_shown(stack: Stack) -> None:
    _send_bad_events(stack)
    for metric in ("c360_dead_letters_total", "c360_duplicate_events_total", "c360_late_events_total"):
        seen = f"sum({metric}) >= {BROKEN_EVENTS}"
        stack.wait(lambda seen=seen: stack.prometheus.value(seen) is not None, metric, SEEN_SECONDS_MAX)  # type: ignore[misc]
    stack.wait(lambda: _is_shown(stack, "Which step refuses what?"), "the panel of refused events", SEEN_SECONDS_MAX)
    letters = "SELECT count() FROM dead_letters FINAL"
    stack.wait(lambda: int(stack.all_tables.rows(letters)[1][0][0]) == BROKEN_EVENTS, "dead letters", SEEN_SECONDS_MAX)


def test_the_services_stop_when_they_are_told_to(stack: Stack) -> None:
    assert {name: stack.stop(name) for name in ("demo", "heartbeat")} == {"demo": 0, "heartbeat": 0}


def test_dead_workers_page_somebody(stack: Stack) -> None:
    died = datetime.now(UTC)
    stack.kill("worker")

    def paged() -> list[dict[str, Any]]:
        return [
            alert
            for alert in stack.alertmanager.alerts()
            if alert["labels"]["alertname"] == WORKER_DOWN_ALERT and datetime.fromisoformat(alert["startsAt"]) > died
        ]

    stack.wait(lambda: len(paged()) == len(stack.worker_addresses()), "an alert for each", SEEN_SECONDS_MAX)
    assert {alert["labels"]["instance"] for alert in paged()} == set(stack.worker_addresses())
    assert [alert["receivers"] for alert in paged()] == [[{"name": "page"}]] * len(paged())
    assert all(alert["status"]["state"] == "active" and alert["annotations"]["runbook_url"] for alert in paged())


def _is_shown(stack: Stack, title: str) -> bool:
    case = next(case for case in PANELS if case.panel.title == title)
    return any(has_data(stack.observer().ask(case.dashboard, query)) for query in case.panel.queries)


def _send_bad_events(stack: Stack) -> None:
    """Some that break the contract, some twice, some of last week: fewer than an alert needs."""
    producer = Producer(stack.kafka_client())
    topic = Settings().input_topic("product")

    def send(account: str, value: bytes) -> None:
        producer.produce(topic, value, account)

    last_week = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 7 * 86_400, UTC)
    for number in range(BROKEN_EVENTS):
        account = f"acc-{number:06}"
        send(account, b'{"event_id":"broken"}')
        event = {"event_id": f"late-{number}", "account_id": account, "event_type": "page_viewed"}
        event["occurred_at"] = last_week.isoformat()
        for _ in range(2):
            send(account, json.dumps(event).encode())
    assert producer.flush(SEEN_SECONDS_MAX) == 0
