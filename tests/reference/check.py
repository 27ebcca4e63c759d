"""Compare what a run wrote with the oracle, table by table.

    python -m tests.reference.check --log-dir DIR --dsn chdb:///path/c360

Exit code 1 if anything differs. Beside logs that `tests.reference.worlds` wrote, the truth lies ready; any
other log is taken to hold valid events only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tests.reference.log import WrittenLog, read_log
from tests.reference.oracle import Outcome, Row, Truth, parse_time, truth_of
from tests.reference.tables import TableRow, query_elsewhere

RISK_TOPIC = "c360.risk.scores.v1"
STATEMENTS = {
    "account_features": "SELECT * FROM account_features FINAL",
    "outcomes": "SELECT * FROM outcomes FINAL",
    "risk_scores": "SELECT * FROM risk_scores FINAL",
    "departures": "SELECT * FROM departures FINAL",
    "risk_latest": "SELECT account_id, active FROM risk_latest",
    "risk_active": "SELECT account_id FROM risk_active",
    "dead_letters": "SELECT topic, partition, offset, exception_class, exception_message FROM dead_letters FINAL",
}
Tables = dict[str, list[TableRow]]
Key = TypeVar("Key")
Found = TypeVar("Found")
Expected = TypeVar("Expected")


def read_tables(dsn: str) -> Tables:
    """Every table that the oracle knows something about."""
    return dict(zip(STATEMENTS, query_elsewhere(dsn, *STATEMENTS.values()), strict=True))


def near(found: float | None, expected: float | None) -> bool:
    """Equal to 1e-9, null only where null is due."""
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


def compare(
    found: Iterable[tuple[Key, Found]],
    expected: dict[Key, Expected],
    say: Callable[[Found, Expected], str | None],
) -> list[str]:
    """Differences, one a key: missing, extra, repeated, or whatever `say` has to say."""
    by_key: dict[Key, Found] = {}
    differences = []
    for key, row in found:
        if key in by_key:
            differences.append(f"{key}: repeated")
        by_key[key] = row
    differences += [f"{key}: missing" for key in expected if key not in by_key]
    for key, row in by_key.items():
        said = say(row, expected[key]) if key in expected else "extra"
        differences += [f"{key}: {said}"] if said else []
    return differences


def wrong_features(row: TableRow, expected: Row) -> str | None:
    """Which features differ."""
    columns = row.keys() - {"account_id", "as_of"}
    if columns != expected.keys():
        return f"columns differ: {sorted(columns ^ expected.keys())}"
    wrong = [name for name, value in expected.items() if not near(row[name], value)]
    return ", ".join(f"{name} {row[name]!r} != {expected[name]!r}" for name in wrong) or None


def wrong_outcome(row: TableRow, expected: Outcome) -> str | None:
    """Whether the label, or when it was known, differs."""
    found = Outcome(row["churned"], parse_time(row["known_at"]))
    return None if found == expected else f"{found} != {expected}"


def wrong_reason(row: TableRow, _: None) -> str | None:
    """A dead letter has to say why."""
    return None if row["exception_class"] and row["exception_message"] else "no reason"


def wrong_copy(row: TableRow, expected: TableRow) -> str | None:
    """Whether the value in the topic differs from the row in the table."""
    if row.keys() != expected.keys():
        return f"fields differ: {sorted(row.keys() ^ expected.keys())}"
    for name, value in expected.items():
        found = row[name]
        times = name in {"as_of", "produced_at"}
        same = parse_time(found) == parse_time(value) if times else found == value
        if not same:
            return f"{name} {found!r} != {value!r}"
    return None


def risk_topic(log_dir: Path) -> list[TableRow]:
    """The records of the risk topic of a log directory, in order."""
    files = sorted((log_dir / RISK_TOPIC).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def departures_of(truth: Truth) -> dict[tuple[str, datetime], None]:
    """The midnights at which an account had no row, after one at which it had."""
    after = ((account, as_of + timedelta(days=1)) for account, as_of in truth.features)
    return {key: None for key in after if key not in truth.features and key[1] <= truth.watermark}


def keyed(rows: Iterable[TableRow]) -> list[tuple[tuple[str, datetime], TableRow]]:
    """Rows of the tables with their (account, as-of)."""
    return [((row["account_id"], parse_time(row["as_of"])), row) for row in rows]


def differences(
    log: WrittenLog, log_dir: Path, tables: Tables, truth: Truth, *, resumed: bool = False
) -> dict[str, list[str]]:
    """What differs from the truth about `log`, by subject; empty lists where all is well.

    `log_dir` has the risk topic. A replay that ends at a midnight leaves a tombstone for each account that was
    scored once but has no row at that last tick. A run that was `resumed` may hear events in other batches, so it need
    not publish the scores between ticks again that the table has from before.
    """
    scores = tables["risk_scores"]
    ticks = keyed(row for row in scores if row["trigger"] == "tick")
    risk = {key: row["risk"] for key, row in ticks if key in truth.outcomes}
    rubbish = {(topic, part, line): None for (topic, part), lines in log.rubbish.items() for line in lines}
    letters = [((row["topic"], row["partition"], row["offset"]), row) for row in tables["dead_letters"]]
    outcomes = keyed(tables["outcomes"])
    records = risk_topic(log_dir)
    by_id = {record["score_id"]: record for record in records if "score_id" in record}
    again = [row for row in scores if not resumed or row["trigger"] == "tick" or row["score_id"] in by_id]
    published = {row["score_id"]: row for row in again}
    newest = {record["account_id"]: "score_id" not in record for record in records}
    gone = {account: (account, truth.watermark) not in truth.features for account, _ in truth.features}
    here = {account: None for account, is_gone in gone.items() if not is_gone}
    departures = [((row["account_id"], parse_time(row["gone_at"])), None) for row in tables["departures"]]
    latest = [(row["account_id"], not row["active"]) for row in tables["risk_latest"]]
    active = [(row["account_id"], None) for row in tables["risk_active"]]

    def unequal(found: object, expected: object) -> str | None:
        return None if found == expected else f"{found} != {expected}"

    return {
        "account_features": compare(keyed(tables["account_features"]), truth.features, wrong_features),
        "outcomes": compare(outcomes, truth.outcomes, wrong_outcome),
        "outcomes.risk": compare([(key, row["risk"]) for key, row in outcomes], risk, unequal),
        "risk_scores at ticks": compare(ticks, truth.features, lambda _, __: None),
        "risk topic": compare(by_id.items(), published, wrong_copy),
        "tombstones": compare(newest.items(), gone, unequal),
        "departures": compare(departures, departures_of(truth), unequal),
        "risk_latest": compare(latest, gone, unequal),
        "risk_active": compare(active, here, unequal),
        "dead_letters": compare(letters, rubbish, wrong_reason),
    }


SUBJECTS = (
    "account_features",
    "outcomes",
    "outcomes.risk",
    "risk_scores at ticks",
    "risk topic",
    "tombstones",
    "departures",
    "risk_latest",
    "risk_active",
    "dead_letters",
)


def main() -> None:
    """Recompute, compare, print the first differences of each table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--log-dir", type=Path, required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--horizon-days", type=int, default=60)
    parser.add_argument("--show", type=int, default=10, help="differences printed a table")
    asked = parser.parse_args()
    log = read_log(asked.log_dir)
    tables = read_tables(asked.dsn)
    found = differences(log, asked.log_dir, tables, truth_of(log.events, asked.horizon_days))
    for name, rows in tables.items():
        print(f"{name}: {len(rows)} rows")
    for subject, wrong in found.items():
        print(f"{subject}: {len(wrong)} differences")
        for line in wrong[: asked.show]:
            print(f"  {line}")
    sys.exit(any(found.values()))


if __name__ == "__main__":
    main()
