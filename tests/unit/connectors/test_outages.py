"""What is said of an outage, however many clients see it."""

from __future__ import annotations

import logging

import pytest

from c360_stream.connectors.outages import Outage
from c360_stream.logs.events import Happening


class Client:
    """Something that waits for a broker."""


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """Names of the events, with the seconds that they have."""
    happenings = [record.msg for record in caplog.records if isinstance(record.msg, Happening)]
    caplog.clear()
    return [(each.event.name, each.fields.get("seconds")) for each in happenings]


def test_it_is_told_at_once_then_more_and_more_seldom_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    outage, client = Outage("broker:9092", lambda: now[0]), Client()
    for second in range(700):
        now[0] = 100.0 + second
        outage.seen(client, "no answer")
    assert said(caplog) == [("outage_began", None), *[("outage_lasts", s) for s in (10, 20, 40, 80, 160, 320, 620)]]
    outage.over(client)
    outage.over(client)
    assert said(caplog) == [("outage_ended", 699.0)]
    outage.seen(client, "no answer")
    assert said(caplog) == [("outage_began", None)], "another one"


def test_it_is_over_when_the_last_client_gets_answers(caplog: pytest.LogCaptureFixture) -> None:
    outage, clients = Outage("broker:9092"), [Client() for _ in range(3)]
    for client in clients:
        outage.seen(client, "no answer")
    outage.over(clients[0])
    outage.over(Client())
    assert [name for name, _ in said(caplog)] == ["outage_began"]
    del client, clients[2]  # it is dropped
    outage.over(clients[1])
    assert [name for name, _ in said(caplog)] == ["outage_ended"]


def test_who_gives_up_says_why_himself(caplog: pytest.LogCaptureFixture) -> None:
    outage, client = Outage("broker:9092"), Client()
    outage.given_up(client)
    outage.seen(client, "no answer")
    outage.given_up(client)
    outage.over(client)
    assert [name for name, _ in said(caplog)] == ["outage_began"]
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


def test_one_whose_client_was_dropped_does_not_go_on_in_the_next(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    outage, client = Outage("broker:9092", lambda: now[0]), Client()
    outage.seen(client, "no answer")
    del client
    now[0] = 7200.0
    others = Client(), Client()
    outage.seen(others[0], "no answer")
    assert said(caplog) == [("outage_began", None), ("outage_began", None)]
    now[0] = 14_400.0  # the first never said that it got answers
    outage.seen(others[1], "no answer")
    outage.over(others[1])
    assert said(caplog) == [("outage_began", None), ("outage_ended", 0.0)]
