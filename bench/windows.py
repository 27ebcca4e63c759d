"""The peer: the same windowed features with Bytewax's window operators, one event at a time.

`python -m bench.windows` runs both over the same log in the same minute, compares what they give, and prints a result
in the form of `c360 bench`. The peer is what its manual leads to: read lines, parse, key by account, fold a tumbling
window of a day an account, and combine 30 days of it for each midnight (a sliding window would fold each event 30
times). Where the two differ in what they do, the peer has less to do:

- It computes the features that windows of days can hold, 14 of 21. It neither scores nor learns.
- It has no dead letters: what breaks the contract is dropped. Duplicates are looked for within their day.
- It writes a line a row. The flow under test fills its tables and topics.
- A window exists where events are, so the peer has no row for a day on which an account was silent: that cannot be
  said with windows. Rows are compared where both have one.
- Its topics are read at different paces, and a clock of an account would take what is behind for late: it waits for
  all of the input, and then closes its windows at once. For both to count the same late events, the flow under test
  allows as much lateness as the log has.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.files import DirSource, FileSink
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.run import cli_main

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.contracts.events.reference import CONTRACTS
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.settings import Settings
from c360_stream.tools.bench.flaws import LATE_MS_MAX
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.runs import Run, run_to_end
from c360_stream.tools.bench.sample import Sample, SampleSpec
from c360_stream.tools.bench.topics import embedded_dsn

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SKEW = timedelta(days=1_000)
LINES_A_BATCH = 1_000
LATENESS_SECONDS = LATE_MS_MAX // 1_000
SETTINGS = Settings.model_construct()
CATEGORIES = sorted(SETTINGS.category_prefixes.items(), key=lambda item: -len(item[0]))

FEATURES = (
    *("avg_dau_7d", "avg_dau_14d", "avg_dau_30d", "usage_trend_ratio_7d_30d", "action_trend_ratio_7d_30d"),
    *("active_days_30d", "features_adopted_30d", "users_commenting_30d", "invites_sent_30d", "export_requests_30d"),
    *("support_tickets_30d", "urgent_tickets_30d", "avg_csat_30d", "payment_failures_30d"),
)
SETS = ("users", "commenters", "categories")
EVENT_TYPE = re.compile("[a-z][a-z0-9_]*")
KNOWN_TYPES = {
    *("subscription_started", "subscription_changed", "invoice_paid", "invoice_payment_failed"),
    *("ticket_opened", "ticket_solved", "csat_submitted", "nps_submitted"),
}
Event = dict[str, Any]
Rows = dict[tuple[str, int], list[float | None]]
"""Values in the order of `FEATURES`, by account and day of the as-of."""


@dataclass
class Day:
    """What an account did on a date."""

    product_events: int = 0
    core: int = 0
    invites: int = 0
    exports: int = 0
    tickets: int = 0
    urgent: int = 0
    csat: int = 0
    csat_sum: int = 0
    failures: int = 0
    ids: set[tuple[str, str]] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    commenters: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)

    def add(self, event: Event) -> Day:
        """Count an event, unless it was counted before."""
        if (event_id := (event["topic"], event["event_id"])) in self.ids:
            return self
        self.ids.add(event_id)
        kind, user = event["event_type"], event.get("user_id")
        if event["topic"] == "product":
            self.product_events += 1
            self.core += kind in SETTINGS.core_actions
            self.invites += kind == "invite_sent"
            self.exports += kind == "export_requested"
            if user is not None:
                self.users.add(user)
                if kind == "comment_added":
                    self.commenters.add(user)
            if (category := _category(kind, event.get("feature"))) is not None:
                self.categories.add(category)
        elif kind == "ticket_opened":
            self.tickets += 1
            self.urgent += event["priority"] in ("high", "urgent")
        elif kind == "csat_submitted":
            self.csat += 1
            self.csat_sum += event["score"]
        elif kind == "invoice_payment_failed":
            self.failures += 1
        return self


def _category(kind: str, named: str | None) -> str | None:
    if kind in ("page_viewed", "session_start", "session_end"):
        return None
    if named is not None:
        return named
    return next((category for prefix, category in CATEGORIES if kind.startswith(prefix)), None)


def _merged(one: Day, _: Day) -> Day:
    raise AssertionError("tumbling windows are not merged")


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def features(days: dict[int, Day], today: int) -> dict[str, float | None]:
    """Features at the midnight that ends `today`, from the days up to it."""
    month = {number: day for number, day in days.items() if number > today - 30}
    recent = {length: [day for n, day in month.items() if n > today - length] for length in (7, 14, 30)}
    dau = {length: sum(len(day.users) for day in of) / length for length, of in recent.items()}
    core = {length: sum(day.core for day in of) / length for length, of in recent.items()}
    total = {
        name: sum(getattr(day, name) for day in month.values())
        for name in Day.__dataclass_fields__
        if name not in (*SETS, "ids")
    }
    distinct = {name: len(set().union(*(getattr(day, name) for day in month.values()))) for name in SETS}
    return {
        "avg_dau_7d": dau[7],
        "avg_dau_14d": dau[14],
        "avg_dau_30d": dau[30],
        "usage_trend_ratio_7d_30d": _ratio(dau[7], dau[30]),
        "action_trend_ratio_7d_30d": _ratio(core[7], core[30]),
        "active_days_30d": sum(day.product_events > 0 for day in month.values()),
        "features_adopted_30d": distinct["categories"],
        "users_commenting_30d": distinct["commenters"],
        "invites_sent_30d": total["invites"],
        "export_requests_30d": total["exports"],
        "support_tickets_30d": total["tickets"],
        "urgent_tickets_30d": total["urgent"],
        "avg_csat_30d": _ratio(total["csat_sum"], total["csat"]),
        "payment_failures_30d": total["failures"],
    }


def _rows(account: str, days: dict[int, Day]) -> Iterator[tuple[str, str]]:
    """A line for each midnight that ends a day with events."""
    for number in sorted(days):
        until = {n: day for n, day in days.items() if n <= number}
        row = {"account_id": account, "as_of_day": number + 1, **features(until, number)}
        yield account, json.dumps(row)


def peer(log_dir: Path, out: Path, *, checked: bool) -> Dataflow:
    """The peer's flow.

    Parameters
    ----------
    log_dir
        A log directory.
    out
        File for its rows, a line each.
    checked
        Whether each event is checked against the contract by pydantic, or read as JSON and checked by hand for no more
        than what the log has of what is to be refused.
    """
    flow = Dataflow("peer")
    parsed = [
        op.filter_map(f"parse_{kind}", _lines(flow, log_dir, kind), _parser(kind, checked=checked))
        for kind in INPUT_KINDS
    ]
    events = op.key_on("by_account", op.merge("all", *parsed), lambda event: str(event["account_id"]))
    clock: EventClock[Event] = EventClock(lambda event: event["occurred_at"], wait_for_system_duration=SKEW)
    windower = TumblingWindower(length=DAY, align_to=EPOCH)
    days = fold_window("days", events, clock, windower, Day, Day.add, _merged, ordered=False)
    # All close at the end of the input, in no order.
    by_account = op.fold_final("days_of_account", days.down, dict, lambda known, day: {**known, day[0]: day[1]})
    rows = op.flat_map("features", by_account, lambda item: _rows(*item))
    op.output("rows", rows, FileSink(out))
    return flow


def _lines(flow: Dataflow, log_dir: Path, kind: InputKind) -> Any:
    folder = log_dir / SETTINGS.input_topic(kind)
    return op.input(f"read_{kind}", flow, DirSource(folder, glob_pat="*.jsonl", batch_size=LINES_A_BATCH))


def _parser(kind: InputKind, *, checked: bool) -> Any:
    check = CONTRACTS[kind]

    def parse(line: str) -> Event | None:
        try:
            event: Event = check.validate_json(line).model_dump() if checked else _by_hand(kind, json.loads(line))
        except ValueError:
            return None
        event["topic"] = kind
        return event

    return parse


def _by_hand(kind: InputKind, event: Event) -> Event:
    if not isinstance(event.get("event_id"), str) or not isinstance(event.get("account_id"), str):
        raise ValueError
    at, event_type = datetime.fromisoformat(event["occurred_at"]), event["event_type"]
    if at.tzinfo is None or not (EVENT_TYPE.fullmatch(event_type) if kind == "product" else event_type in KNOWN_TYPES):
        raise ValueError
    event["occurred_at"] = at
    return event


def run_peer(log_dir: Path, out: Path, *, checked: bool) -> tuple[float, float]:
    """Run the peer in a process of its own: seconds by its clock, as those of `c360 run` are, and of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "bench.windows", "--only-peer", str(log_dir), str(out)]
    done = subprocess.run(
        [*command, *(["--checked"] if checked else [])],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _only_peer(log_dir: Path, out: Path, *, checked: bool) -> None:
    flow = peer(log_dir, out, checked=checked)
    gc.disable()  # as `c360 run` does
    began = time.perf_counter()
    cli_main(flow)
    print(time.perf_counter() - began)


def peer_rows(out: Path) -> Rows:
    """What the peer wrote."""
    rows = map(json.loads, out.read_text().splitlines())
    return {(row["account_id"], row["as_of_day"]): [row[name] for name in FEATURES] for row in rows}


def our_rows(dsn: str) -> Rows:
    """What the flow put into its tables."""
    with closing(connect(dsn)) as tables:
        found = tables.query(f"SELECT account_id, as_of, {', '.join(FEATURES)} FROM account_features FINAL")
    return {(row["account_id"], (row["as_of"] - EPOCH).days): [row[name] for name in FEATURES] for row in found}


def run_flow(settings: Settings, home: Path, events: int) -> tuple[Run, Rows]:
    """Run the flow under test, which waits for all late events of a sample as the peer does; its rows."""
    environment = {
        "C360_LOG_DIR": str(settings.log_dir),
        "C360_CLICKHOUSE_DSN": embedded_dsn(home),
        "C360_ALLOWED_LATENESS_SECONDS": str(LATENESS_SECONDS),
    }
    run = run_to_end(environment, home, 1, events, recovery=home / "recovery")
    return run, our_rows(embedded_dsn(home))


def compare(ours: Rows, theirs: Rows) -> tuple[int, int]:
    """Check that rows are equal where both have one; their number, and that of the silent days that only we have.

    Raises
    ------
    AssertionError
        If they differ, or the peer has a row before our last tick that we have not.
    """
    last = max(day for _, day in ours)
    theirs = {key: row for key, row in theirs.items() if key[1] <= last}  # at its end it closes the day in progress
    assert theirs.keys() <= ours.keys(), "the peer has rows that the flow has not"
    different = [key for key, row in theirs.items() if row != ours[key]]
    assert not different, f"{len(different)} of {len(theirs)} rows differ, say {different[0]}"
    return len(theirs), len(ours) - len(theirs)


def measure(spec: SampleSpec) -> Iterator[Result]:
    """Run the flow and the peer, twice, on the same log; compare their rows."""
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        home = Path(folder)
        settings = Settings.model_construct(log_dir=home / "log")
        counts = Sample(spec).write(settings)
        run, ours = run_flow(settings, home, counts.accepted)
        events = counts.lines
        for name, checked in (("windows", True), ("windows_by_hand", False)):
            out = home / f"{name}.jsonl"
            seconds, cpu = run_peer(settings.log_dir, out, checked=checked)
            same, only_ours = compare(ours, peer_rows(out))
            floor_is = "the same features with Bytewax's window operators, an event at a time, " + (
                "each checked by pydantic" if checked else "read as JSON and checked by hand"
            )
            parameters = {
                **spec.parameters(counts),
                "recovery": True,
                "allowed_lateness_seconds": LATENESS_SECONDS,
                "rows_equal": same,
                "rows_of_silent_days": only_ours,
            }
            detail = {**run.seconds(), "peer_seconds": seconds, "peer_cpu_seconds": cpu}
            yield Result(name, "events per second", events / run.flow, events / seconds, floor_is, parameters, detail)
            unit = "events per CPU second, start-up included"
            yield Result(f"{name}_cpu", unit, events / run.cpu, events / cpu, floor_is, parameters, detail)


def main() -> None:
    """Measure, or be the peer."""
    parser = argparse.ArgumentParser(prog="python -m bench.windows", description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=2_000_000, help="product events")
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-peer", nargs=2, type=Path, metavar=("LOG_DIR", "OUT"), help="run the peer alone")
    parser.add_argument("--checked", action="store_true", help="with --only-peer: check events by pydantic")
    given = parser.parse_args()
    if given.only_peer:
        _only_peer(*given.only_peer, checked=given.checked)
        return
    for result in measure(SampleSpec(given.accounts, given.events, given.days, given.seed)):
        print(result.to_json())


if __name__ == "__main__":
    main()
