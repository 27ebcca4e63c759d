"""What runs, what is slow and what is not there are told apart, and lag is in the unit of the transport."""

from __future__ import annotations

import http.server
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest

from c360_stream import metrics
from c360_stream.cli import scrape as module
from c360_stream.cli.scrape import SLOW_MAX, Process, Scraper, process_lines, scrape
from c360_stream.logs.refusals import BoundedReasons, count_dead_letters
from c360_stream.operators.health import Health
from c360_stream.runtime.health_server import HealthServer

PAGE = """\
c360_build_info{version="1"} 1.0
c360_watermark_timestamp_seconds 1.75e+09
%s
c360_dead_letters_total{topic="billing",stage="decode"} 3.0
c360_dead_letter_reasons_total{topic="billing",reason="not UTF-8"} 1.0
c360_dead_letter_reasons_total{topic="billing",reason="seats: Expected `int`, got `str`"} 2.0
c360_late_events_total 4.0
"""
KAFKA = PAGE % (
    'c360_consumer_lag_records{topic="billing",partition="0"} %d\n'
    'c360_consumer_lag_records{topic="billing",partition="1"} %d'
)
LOG = PAGE % 'c360_consumer_lag_bytes{topic="billing",partition="0"} 2.5e+06'


@contextmanager
def serving(page: str, status: int = 200) -> Iterator[str]:
    """A server that answers every request with this page; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def text(*processes: Process) -> str:
    return "\n".join(process_lines(processes))


@pytest.mark.parametrize(("first", "second"), [(1_200, 34), (0, 0)])
def test_on_kafka_it_is_behind_by_records_also_by_none(first: int, second: int) -> None:
    with serving(KAFKA % (first, second)) as address:
        (process,) = scrape(address)
    assert (process.lag_records, process.lag_bytes) == (first + second, None)
    assert f" · behind {first + second:,} records · " in text(process)
    assert "MB" not in text(process)


def test_in_a_log_directory_it_is_behind_by_bytes() -> None:
    with serving(LOG) as address:
        (process,) = scrape(address)
    assert (process.lag_records, process.lag_bytes) == (None, 2_500_000)
    assert " · behind 2.5 MB of log · " in text(process)


def test_a_run_that_has_read_nothing_yet_is_behind_by_nobody_knows() -> None:
    with serving(PAGE % "") as address:
        assert " · behind not known yet · " in text(*scrape(address))


def test_dead_letters_are_told_with_their_reasons() -> None:
    with serving(LOG) as address:
        (process,) = scrape(address)
    assert text(process).splitlines()[1:] == [
        "dead letters: 2 of billing: seats: Expected `int`, got `str`",
        "dead letters: 1 of billing: not UTF-8",
    ]
    assert process.record() == {
        "address": process.address,
        "state": "running",
        "silent_seconds": None,
        "watermark": datetime(2025, 6, 15, 15, 6, 40, tzinfo=UTC),
        "consumer_lag_records": None,
        "consumer_lag_bytes": 2_500_000,
        "dead_letters": 3,
        "dead_letter_reasons": [
            {"topic": "billing", "exception_message": "seats: Expected `int`, got `str`", "dead_letters": 2},
            {"topic": "billing", "exception_message": "not UTF-8", "dead_letters": 1},
        ],
        "late_events": 4,
    }


def test_reasons_are_few_lines() -> None:
    refusals = Counter({("billing", f"field_{number}: rule"): 100 - number for number in range(9)})
    lines = process_lines([Process("a:1", "running", dead_letters=refusals.total(), refusals=refusals)] * 2)
    assert len(lines) == 1 + 6
    assert lines[1] == "dead letters: 200 of billing: field_0: rule"
    assert lines[-1] == f"dead letters: {2 * (95 + 94 + 93 + 92)} for 4 other reasons"


def silent(listening: socket.socket) -> None:
    """Take connections and say nothing: the kernel does that by itself."""


def drip(listening: socket.socket) -> None:
    """Answer a little at a time, for ever: no single read takes long."""
    connection, _ = listening.accept()
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    with connection, closing(connection):
        try:
            while True:
                connection.sendall(b"c360_build_info 1\n")
                threading.Event().wait(0.01)
        except OSError:
            return


@pytest.mark.parametrize("behave", [silent, drip])
def test_one_that_answers_late_is_slow_and_says_for_how_long(behave: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=behave, args=(listening,), daemon=True)
        thread.start()
        (process,) = scrape(address)
    thread.join()
    assert process.state == "slow"
    assert process.silent_seconds >= module.SECONDS_MAX
    assert text(process) == f"process at {address} is slow: no answer for {process.silent_seconds:,.1f} s"
    record = process.record()
    assert record["silent_seconds"] == process.silent_seconds
    assert record["dead_letters"] is None


def test_the_time_counts_from_when_it_was_first_asked_until_it_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        scraper = Scraper(f"127.0.0.1:{listening.getsockname()[1]}")
        (first,), (second,) = scraper.look(), scraper.look()
    assert second.silent_seconds >= first.silent_seconds + module.SECONDS_MAX
    assert scraper.look() == [], "it is not there any more"
    assert scraper._silent_since == {}


def test_a_slow_process_hides_none_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 0 is stuck, process 1 answers, and nobody is at the next port."""
    monkeypatch.setattr(module, "PROCESSES_MAX", 2)
    while True:
        with socket.create_server(("127.0.0.1", 0)) as stuck:
            port = stuck.getsockname()[1]
            try:
                server = HealthServer(f"127.0.0.1:{port + 1}", Health())
            except Exception:  # somebody has the port
                continue
            with closing(server):
                found = scrape(f"127.0.0.1:{port}")
            break
    assert [process.state for process in found] == ["slow", "running"]
    assert text(*found).splitlines()[0].startswith("1 process(es) · ")


def test_many_slow_processes_are_not_all_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_page", lambda host, port: module._Page(f"{host}:{port}", True, ""))
    assert len(scrape("127.0.0.1:1")) == SLOW_MAX


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:1", "nosuch.invalid:9"])
def test_nobody_to_scrape(address: str) -> None:
    assert scrape(address) == []
    assert text() == "no running process answers at C360_METRICS_ADDRESS"


@pytest.mark.parametrize(("page", "status"), [("another exporter's 1.0\n", 200), (LOG, 404)])
def test_what_is_no_run_is_none(page: str, status: int) -> None:
    with serving(page, status) as address:
        assert scrape(address) == []


def test_the_page_of_a_run_is_read_as_it_is_written() -> None:
    metrics.CONSUMER_LAG_BYTES.clear()  # metrics are the process's: other tests may have left theirs
    metrics.CONSUMER_LAG_RECORDS.labels("c360.product.events.v1", "0").set(7)
    count_dead_letters(BoundedReasons(), "scraped", "decode", 'odd "quotes" and \\', 3)
    try:
        with closing(HealthServer("127.0.0.1:0", Health())) as server:
            (process,) = scrape(server.address)
    finally:
        metrics.CONSUMER_LAG_RECORDS.clear()
    assert process.lag_records == 7
    assert process.refusals["scraped", 'odd "quotes" and \\'] == 3
