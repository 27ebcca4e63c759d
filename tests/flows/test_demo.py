"""The demo from end to end, as a user meets it: hostile settings around it, and every command that it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pytest

from c360_stream.features.definitions import SPECS
from tests.reference.flow_run import DEADLINE_SECONDS
from tests.reference.tables import query_elsewhere

pytestmark = pytest.mark.slow
# What would lead the demo, or the commands that it prints, to other places and other features.
HOSTILE = {
    "C360_KAFKA_BROKERS": "127.0.0.1:1",
    "C360_CLICKHOUSE_DSN": "clickhouse://127.0.0.1:1/c360",
    "C360_HORIZON_DAYS": "5",
    "C360_TIER_MEDIUM": "not a number",
}
MISLEADING = 'topic_prefix = "other"\nclickhouse_dsn = "clickhouse://127.0.0.1:1/c360"\ncore_actions = ["nothing"]\n'


def c360(*arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    return subprocess.Popen(
        [sys.executable, "-m", "c360_stream", *arguments],
        cwd=cwd,
        env={**inherited, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


@dataclass(frozen=True)
class Demo:
    """A finished demo."""

    home: Path
    out: str
    err: str

    @property
    def log_dir(self) -> Path:
        """Its directory."""
        return self.home / "demo-out"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo of a tiny company, in place of an earlier demo that was interrupted."""
    home = tmp_path_factory.mktemp("demo")
    (home / "c360.toml").write_text(MISLEADING)
    old = home / "demo-out"
    (old / "c360.product.events.v1").mkdir(parents=True)
    (old / "c360.product.events.v1" / "9.jsonl").write_text("of the earlier demo\n")
    (old / ".c360-demo").touch()
    arguments = ("demo", "--accounts", "40", "--days", "150", "--seed", "3")
    code, out, err = finish(c360(*arguments, cwd=home, COLUMNS="80", **HOSTILE))
    assert code == 0, err
    return Demo(home, out, err)


def test_the_summary_says_what_somebody_who_sells_asks_and_first_things_first(demo: Demo) -> None:
    parts = (
        "on 2024-05-29",
        "At stake",
        "Trust",
        "Not shown",
        "All customers by tier",
        "How good is the model?",
        "rule: longest",
        "ROC-AUC",
        "Alarms of the last 30 days",
        "40 accounts, 2024-01-01 to 2024-05-29, scenario steady",
        "c360.risk.scores.v1",
        "demo-out/truth.jsonl",
    )
    places = [demo.out.index(part) for part in parts]
    assert places == sorted(places)
    table = demo.out[: demo.out.index("Where to look next")]
    assert max(map(len, table.splitlines())) <= 80


def test_every_account_is_a_customer_or_gone_or_still_to_begin(demo: Demo) -> None:
    """As the billing events have it, which the summary does not look at."""
    events = [
        json.loads(line)
        for path in demo.log_dir.glob("c360.billing.events.v1/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    events.sort(key=lambda event: event["occurred_at"])
    before = [event for event in events if event["occurred_at"] < "2024-05-29"]
    ends = {"subscription_started": True, "subscription_cancelled": False}
    customer = {each["account_id"]: ends[each["event_type"]] for each in before if each["event_type"] in ends}
    active, gone = sum(customer.values()), len(customer) - sum(customer.values())
    words = " ".join(demo.out.split())
    assert f"At stake {active} customers pay" in words
    told = f"{40 - active} of the 40 accounts that were simulated: {gone} have cancelled by then,"
    assert f"{told} {40 - len(customer)} had not begun." in words
    assert re.search(rf"\n all +{active} ", demo.out)


def test_whom_to_call_is_in_order_of_money(demo: Demo) -> None:
    dsn = f"chdb://{demo.log_dir.resolve()}/tables/c360"
    query = """
        SELECT account_id, tier, mrr_cents * risk AS at_risk FROM risk_scores FINAL
        WHERE as_of >= '2024-05-29' ORDER BY account_id, as_of DESC, trigger DESC LIMIT 1 BY account_id
    """
    (rows,) = query_elsewhere(dsn, query)
    called = [row for row in rows if row["tier"] in {"high", "critical"}]
    expected = [row["account_id"] for row in sorted(called or rows, key=lambda row: -row["at_risk"])]
    begin = demo.out.index("Whom to call" if called else "Nobody is at high")
    shown = re.findall(r"^ (acc-\d+) ", demo.out[begin : demo.out.index("All customers")], re.MULTILINE)
    assert shown
    assert shown == expected[: len(shown)]
    assert re.search(rf"(Call first|Most at stake) +{expected[0]}", demo.out)


def test_the_rule_beside_the_model_is_judged_on_the_same_scores(demo: Demo) -> None:
    """Its share of churned accounts, by sorting what the tables hold."""
    dsn = f"chdb://{demo.log_dir.resolve()}/tables/c360"
    outcomes, features = query_elsewhere(
        dsn,
        "SELECT account_id, as_of, churned, risk FROM outcomes FINAL WHERE isNotNull(risk)",
        "SELECT account_id, as_of, days_since_last_activity AS days FROM account_features FINAL",
    )
    first, last = min(row["as_of"] for row in outcomes), max(row["as_of"] for row in outcomes if not row["churned"])
    begin, end = (datetime.fromisoformat(each) for each in (first, last))
    since = begin + (end - begin) * 2 / 3
    judged = [row for row in outcomes if since <= datetime.fromisoformat(row["as_of"]) <= end]
    silent = {(row["account_id"], row["as_of"]): row["days"] for row in features}
    for row in judged:
        days = silent[row["account_id"], row["as_of"]]
        row["silence"] = 1e9 if days is None else days
    found = []
    for order in ("risk", "silence"):
        ranked = sorted(judged, key=lambda row: (-row[order], row["account_id"], row["as_of"]))
        top = ranked[: round(len(judged) / 10)]
        found.append(f"{sum(row['churned'] for row in top) / len(top):.1%}")
    words = " ".join(demo.out.split())
    assert f"Checked on {len(judged):,} daily scores" in words
    assert f"left, of the riskiest 10% {found[0]} {found[1]} " in words


def test_scores_say_more_than_a_number(demo: Demo) -> None:
    """In the tables: curves that rise and meet the risk, what moved, months and value, segments; and how they did."""
    (row,), measured = query_elsewhere(
        f"chdb://{demo.log_dir / 'tables' / 'c360'}",
        """
        SELECT count() AS scores,
               countIf(arrayMap(p -> p.1, risk_curve) = [7, 30, 60, 90]) AS curves,
               countIf(arraySort(arrayMap(p -> p.2, risk_curve)) = arrayMap(p -> p.2, risk_curve)) AS rising,
               countIf(risk_curve[3].2 = risk) AS meeting,
               countIf(expected_months > 0 AND expected_months <= 60) AS months,
               countIf(lifetime_value_cents > 0 OR mrr_cents = 0 OR isNull(mrr_cents)) AS valued,
               countIf(isNotNull(segment)) AS segmented,
               countIf(notEmpty(moved)) AS moves,
               countIf(notEmpty(moved) AND isNull(risk_change)) AS moved_from_nothing
        FROM risk_scores FINAL
        """,
        "SELECT DISTINCT metric FROM model_metrics",
    )
    assert row["scores"] > 1_000
    assert {row[name] for name in ("curves", "rising", "meeting", "months", "valued", "segmented")} == {row["scores"]}
    assert 0 < row["moves"] < row["scores"]
    assert row["moved_from_nothing"] == 0
    assert {each["metric"] for each in measured} >= {
        *("label_coverage", "empc_cents", "segment_stability", "false_flags_per_account_month", "mean_risk"),
    }


def test_no_reason_of_an_account_at_risk_is_against_its_direction(demo: Demo) -> None:
    """By the direction that is declared of a feature, and the quartiles of the values of all accounts."""
    scores, ordinary = query_elsewhere(
        f"chdb://{demo.log_dir / 'tables' / 'c360'}",
        """
        SELECT risk, arrayMap(r -> (r.1, r.2, r.3), reasons) AS raising,
               arrayMap(r -> (r.1, r.2, r.3), mitigations) AS lowering
        FROM risk_scores FINAL WHERE trigger = 'tick' AND tier IN ('high', 'critical')
        """,
        "SELECT * FROM account_features FINAL",
    )
    assert len(scores) > 50
    # One that is held in its tier though its risk has fallen may have nothing left that raises it.
    assert sum(not row["raising"] and row["risk"] >= 0.25 for row in scores) <= len(scores) // 100
    for spec in SPECS:
        known = [row[spec.name] for row in ordinary if row[spec.name] is not None]
        lower, upper = np.quantile(known, [0.25, 0.75]) if known else (np.nan, np.nan)
        for row in scores:
            for kind, way in (("raising", 1), ("lowering", -1)):
                for name, value, contribution in row[kind]:
                    assert contribution * way > 0
                    if name == spec.name and spec.bad is not None and value is not None:
                        high_side = way if spec.bad == "high" else -way
                        assert value >= lower if high_side > 0 else value <= upper, (name, value, contribution)


def test_progress_goes_to_stderr_line_by_line(demo: Demo) -> None:
    assert "simulating a company: day 150 of 150" in demo.err
    assert "running the flow: day 150 of 150" in demo.err
    assert "running the flow" not in demo.out


def test_the_earlier_demo_is_gone(demo: Demo) -> None:
    assert not (demo.log_dir / "c360.product.events.v1" / "9.jsonl").exists()


def test_what_it_counted_is_what_there_is(demo: Demo) -> None:
    lines = sum(len(path.read_bytes().splitlines()) for path in demo.log_dir.glob("c360.*.events.v1/*.jsonl"))
    assert f"{lines:,} events: {lines:,} accepted" in demo.out
    dsn = f"chdb://{demo.log_dir.resolve()}/tables/c360"
    counts = "SELECT countIf(trigger = 'tick') AS ticks, countIf(trigger = 'event') AS between FROM risk_scores FINAL"
    (((scores),), (alarms,)) = query_elsewhere(dsn, counts, "SELECT count() AS number FROM drift_alarms FINAL")
    assert f"{scores['ticks']:,} daily scores, and {scores['between']:,} within a day" in demo.out
    current = int(re.findall(r"Alarms of the last 30 days: (\d+)", demo.out)[0])
    earlier = re.findall(r"Earlier, since [\d-]+: ([^.]*)", demo.out)
    assert current + sum(map(int, re.findall(r"\d+", "".join(earlier)))) == alarms["number"]


def test_the_commands_that_it_prints_work_when_pasted(demo: Demo) -> None:
    commands = re.findall(r"^# .*\n(.+)$", demo.out, re.MULTILINE)
    assert len(commands) == 3
    # In the same shell, but for the setting that no command can do with.
    env = {name: value for name, value in HOSTILE.items() if name != "C360_TIER_MEDIUM"}
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=demo.home, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert "acc-0000" in done.stdout


def verified(log_dir: Path, account: str, *arguments: str, **env: str) -> tuple[int, str, str]:
    return finish(c360("verify", account, "--log-dir", str(log_dir), *arguments, cwd=log_dir, **env))


def test_verify_says_equal_until_the_log_is_tampered_with(demo: Demo, tmp_path: Path) -> None:
    dsn = f"chdb://{demo.log_dir.resolve()}/tables/c360"
    sample = "SELECT account_id, as_of, trigger FROM risk_scores FINAL ORDER BY cityHash64(score_id) LIMIT 3"
    event = "SELECT account_id, as_of, trigger FROM risk_scores FINAL WHERE trigger = 'event' LIMIT 1"
    ticks, (between,) = query_elsewhere(dsn, sample, event)
    for row in (*ticks, between):
        code, out, err = verified(demo.log_dir, row["account_id"], "--as-of", row["as_of"])
        assert (code, err) == (0, ""), out
        assert "\nequal: " in out

    tampered = tmp_path / "tampered"
    for topic in demo.log_dir.glob("c360.*.events.v1"):
        shutil.copytree(topic, tampered / topic.name)
    for path in (tampered / "c360.billing.events.v1").glob("*.jsonl"):
        path.write_text(re.sub(r'"mrr_cents":\d+', '"mrr_cents":987654', path.read_text()))
    code, out, err = verified(tampered, ticks[0]["account_id"], C360_CLICKHOUSE_DSN=dsn)
    assert (code, err) == (1, "")
    assert "\nNOT equal: " in out
    assert re.search(r"mrr_cents +987,654 .*differs", out)


@pytest.mark.parametrize(
    ("account", "as_of", "message"),
    [
        ("nobody", "2024-02-01", "account nobody has no score in chdb:"),
        ("acc-000001", "2031-01-01", "has no score at that time; the nearest: --as-of 2024-"),
        ("acc-000001", "2024-02-01T00:00:00.000001Z", "has no score at that time; the nearest: --as-of 2024-"),
    ],
)
def test_verify_of_a_score_that_is_not_there(demo: Demo, account: str, as_of: str, message: str) -> None:
    code, _, err = verified(demo.log_dir, account, "--as-of", as_of)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_interrupt_ends_it_and_its_flow(tmp_path: Path) -> None:
    process = c360("demo", "--out", "out", "--accounts", "200", "--days", "900", cwd=tmp_path)
    scores = tmp_path / "out" / "c360.risk.scores.v1" / "0.jsonl"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not scores.exists() or not scores.stat().st_size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130, err
    assert out == ""
    assert "Traceback" not in err
    while alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(group: int) -> bool:
    """Whether a process of the group is left: one that has ended and was not waited for does not count."""
    for process in psutil.process_iter():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
