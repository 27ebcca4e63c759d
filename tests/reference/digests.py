"""What a change that moves code may not change: four worlds, each replayed once, as digests of tables and topics.

    python -m tests.reference.digests > before.json      # in a checkout of before
    python -m tests.reference.digests --held-against before.json

Two checkouts on one machine are compared: the last bit of a logarithm may differ from processor to processor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.reference.flow_run import FlowRun
from tests.reference.tables import query_elsewhere
from tests.reference.worlds import WorldSpec, write_world

# A company large enough for the contest, a price rise, an outage: what the learner and the monitors have branches for.
SCENARIOS = ("steady", "price_increase", "outage")
SIMULATED = ("--accounts", "250", "--days", "240", "--seed", "7")
STATEMENTS = {
    "features": "SELECT * FROM account_features FINAL",
    "tick scores": "SELECT * FROM risk_scores FINAL WHERE trigger = 'tick'",
    "outcomes": "SELECT * FROM outcomes FINAL",
    "departures": "SELECT * FROM departures FINAL",
    "alarms": "SELECT * FROM drift_alarms FINAL",
    "metrics": "SELECT * FROM model_metrics FINAL",
    "interventions": "SELECT * FROM interventions FINAL",
    "dead letters": "SELECT * EXCEPT (refused_at, stored_at) FROM dead_letters FINAL",
}
TOPICS = {
    "risk topic": "c360.risk.scores.v1",
    "alarm topic": "c360.drift.alarms.v1",
    "dead-letter topic": "c360.dead-letters.v1",
}

_REFUSED_AT = re.compile(r'"refused_at":"[^"]*",?')


def digest(lines: Iterable[str]) -> str:
    """How many lines, and a hash of them in an order of their own.

    >>> digest(["b", "a"]) == digest(["a", "b"])
    True
    """
    ordered = sorted(lines)
    return f"{len(ordered)} {hashlib.sha256(chr(10).join(ordered).encode()).hexdigest()[:16]}"


def _topic_lines(folder: Path) -> Iterable[str]:
    """The records of a topic, without scores in between and times of refusal, which follow how the run went."""
    for file in folder.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            if '"trigger":"event"' not in line:
                yield _REFUSED_AT.sub("", line)


def digests_of(run: FlowRun) -> dict[str, str]:
    """Every subject of a finished run with its digest."""
    found = query_elsewhere(run.dsn, *STATEMENTS.values())
    tables = {
        subject: digest(json.dumps(row, sort_keys=True) for row in rows)
        for subject, rows in zip(STATEMENTS, found, strict=True)
    }
    return tables | {subject: digest(_topic_lines(run.log_dir / topic)) for subject, topic in TOPICS.items()}


def simulate(scenario: str, out: Path) -> Path:
    """A log directory of a simulated company."""
    command = [sys.executable, "-m", "c360_stream", "simulate", "--out", str(out), "--scenario", scenario]
    subprocess.run([*command, *SIMULATED], check=True, capture_output=True)
    return out


def all_digests(home: Path) -> dict[str, dict[str, str]]:
    """Every world's digests; `home` is an empty directory."""
    sources = {"messy": write_world(WorldSpec(seed=11, accounts=60, days=160), home / "messy").path}
    sources |= {scenario: simulate(scenario, home / scenario) for scenario in SCENARIOS}
    digests = {}
    for name, source in sources.items():
        print(f"replaying {name}", file=sys.stderr)
        run = FlowRun(source, home / f"{name}-run")
        run.finish()
        digests[name] = digests_of(run)
    return digests


def main() -> int:
    """Print the digests, or what differs from those in a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--held-against", type=Path, help="digests of another checkout")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = all_digests(Path(home))
    if asked.held_against is None:
        print(json.dumps(found, indent=1))
        return 0
    before = json.loads(asked.held_against.read_text())
    wrong = [
        f"{world}, {subject}: {digests[subject]}, was {before[world].get(subject)}"
        for world, digests in found.items()
        for subject in digests
        if digests[subject] != before[world].get(subject)
    ]
    print("\n".join(wrong) or f"{len(found)} worlds, nothing differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
