"""Run a command beside a real Kafka of its own: `python -m tests.integration c360 bench kafka`.

The broker's address is in the command's environment as `C360_KAFKA_BROKERS`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.integration.kafka_broker import KafkaUnavailableError, kafka_broker


def main(command: list[str]) -> int:
    """Give the command's exit code; 2 if there can be no broker."""
    try:
        with kafka_broker() as brokers:
            return subprocess.run(command, check=False, env={**os.environ, "C360_KAFKA_BROKERS": brokers}).returncode
    except KafkaUnavailableError as error:
        print(f"no Kafka: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
