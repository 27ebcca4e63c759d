"""Run schedules: `python -m tests.simulation --seed 7 --trace`, or `--first-seed 0 --schedules 200`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from tests.simulation.schedule import check

FAULTS = (
    *("dies at", "stops at", "away at", "a stranger answers", "brokers recover", "many dead letters are held"),
    *("older recovery directory is refused", "older recovery directory is taken"),
    *("a new recovery directory is refused", "a new recovery directory, to republish is taken"),
)


def main() -> None:
    """Run them; stop at the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="one schedule")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--trace", action="store_true", help="say what happened")
    asked = parser.parse_args()
    first, number = (asked.seed, 1) if asked.seed is not None else (asked.first_seed, asked.schedules)
    if not asked.trace:
        logging.disable(logging.WARNING)  # of every outage: there are many
    began = time.monotonic()
    happened: Counter[str] = Counter()
    for seed in range(first, first + number):
        # Also the last word of a schedule that hangs.
        print(f"\rpython -m tests.simulation --seed {seed}", end="", flush=True, file=sys.stderr)
        try:
            result = check(seed)
        except AssertionError as failure:
            sys.exit(f"\n{failure}")
        happened.update(fault for line in result.story for fault in FAULTS if fault in line)
        if asked.trace:
            print(f"seed {seed}:", *result.story, sep="\n  ")
    print(file=sys.stderr)
    print(f"{number} schedules, nothing lost, nothing doubled, {time.monotonic() - began:.0f} s")
    print("; ".join(f"{happened[fault]} x {fault}" for fault in FAULTS))


if __name__ == "__main__":
    main()
