"""`c360 redrive` that kills itself at a transaction's commit.

Arguments: which transaction, from 1; `before` or `after` its commit.
"""

from __future__ import annotations

import os
import signal
import sys

from c360_stream.cli.main import cli
from c360_stream.connectors.kafka.patience import KafkaPatience
from c360_stream.connectors.kafka.transactions import Transactions


def main(number: int, moment: str) -> None:
    """Run it up to there."""
    commit = Transactions.commit
    commits = 0

    def killing(self: Transactions, patience: KafkaPatience) -> None:
        nonlocal commits
        commits += 1
        if commits == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(self, patience)
        if commits == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Transactions.commit = killing  # type: ignore[method-assign]
    cli(["redrive"], prog_name="c360")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
