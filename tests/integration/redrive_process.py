"""`c360 redrive` that kills itself at a transaction's commit.

Arguments: which transaction, from 1; `before` or `after` its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from c360_stream.cli.main import cli
from c360_stream.connectors.kafka.redrive import Redriver


def main(number: int, moment: str) -> None:
    """Run it up to there."""
    take = Redriver._step
    commits = 0

    def killing(self: Redriver, what: str, step: Callable[[float], object]) -> None:
        nonlocal commits
        commits += what == "committing"
        due = what == "committing" and commits == number
        if due and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        take(self, what, step)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)

    Redriver._step = killing  # type: ignore[method-assign]
    cli(["redrive"], prog_name="c360")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
