"""The flow on a real broker, killed and deprived of it again and again: nothing may be lost, nothing doubled.

`python -m tests.integration.chaos --kills 50 --restarts 3 --seed 1` prints one JSON line. Exit code 1 if anything is
lost, doubled, or other than what an undisturbed run over a log directory gives.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.integration.kafka_broker import Broker, own_broker
from tests.reference.check import Tables, read_tables
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.log import Mess, WrittenLog, topic_name
from tests.reference.oracle import TOPICS
from tests.reference.tables import query_elsewhere
from tests.reference.worlds import WorldSpec, write_world

PREFIX = "chaos"
PARTITIONS = 4
BYTES_MAX = 16_000_000
DEADLINE_SECONDS = 300.0
POLL_SECONDS = 0.02
# Without FINAL: repeated inserts show.
DOUBLED = {
    "tick scores": "SELECT count() - uniqExact(score_id) AS n FROM risk_scores WHERE trigger = 'tick'",
    "features": "SELECT count() - uniqExact(account_id, as_of) AS n FROM account_features",
    "outcomes": "SELECT count() - uniqExact(account_id, as_of, known_at) AS n FROM outcomes",
    "dead letters": "SELECT count() - uniqExact(topic, partition, offset) AS n FROM dead_letters",
    "alarms": "SELECT count() - uniqExact(alarm_id) AS n FROM drift_alarms",
}


class Chaos:
    """A world in Kafka, and a run over it that is started as often as it takes.

    Parameters
    ----------
    broker
        Its own, since it is restarted.
    home
        An empty directory.
    seed
        Of the world and of what happens.
    accounts
        Size of the world.
    dsn
        Where the tables are.
    """

    def __init__(self, broker: Broker, home: Path, seed: int, accounts: int, dsn: str) -> None:
        self.broker = broker
        self.home = home
        self.random = random.Random(seed)
        self.settings = Settings(kafka_brokers=broker.address, topic_prefix=PREFIX)
        self.dsn = dsn
        mess = Mess(seed=seed, partitions=dict.fromkeys(TOPICS, PARTITIONS), gzip=())
        self.world = write_world(WorldSpec(seed=seed, accounts=accounts, days=120), home / "world", mess)
        self.lives = 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("C360_")} | SETTINGS
        self._environment = environment | {
            "C360_KAFKA_BROKERS": broker.address,
            "C360_TOPIC_PREFIX": PREFIX,
            "C360_CLICKHOUSE_DSN": self.dsn,
            "C360_BATCH_EVENTS": "10",
        }
        produce(self.settings, self.world)
        subprocess.run(self._command("setup"), env=self._environment, cwd=home, check=True, stdout=subprocess.DEVNULL)

    def start(self, processes: int = 1) -> subprocess.Popen[bytes]:
        """Start or resume the run."""
        self.lives += 1
        with (self.home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                self._command("run", "--until-end", "--recovery", "recovery", "--processes", str(processes)),
                env=self._environment,
                cwd=self.home,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, process: subprocess.Popen[bytes], *, publishing: bool) -> bool:
        """Kill -9 it once it publishes, or at a random moment; False if it ended before."""
        until = time.monotonic() + self.random.uniform(0.5, 7.0)
        grown = self.published()
        while process.poll() is None:
            if publishing:
                if self.published() > grown:
                    break
            elif time.monotonic() > until:
                break
            time.sleep(POLL_SECONDS)
        ended = process.poll() is not None
        assert not ended or process.returncode == 0, self.output()
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return not ended

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it has come to the end of the input."""
        try:
            code = process.wait(DEADLINE_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert code == 0, self.output()

    def published(self) -> int:
        """End offsets of the risk topic, transactions' markers and aborted records included; -1 if none answers."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "chaos", "log_level": 0})
        try:
            ends = [
                consumer.get_watermark_offsets(TopicPartition(self.settings.risk_topic, n), timeout=1)[1]
                for n in range(PARTITIONS)
            ]
        except KafkaException:
            return -1
        finally:
            consumer.close()
        return sum(ends)

    def output(self) -> str:
        """What the run has said last, with room for the stacks that a crash leaves."""
        return (self.home / "output.txt").read_text(errors="replace")[-20_000:]

    def verdict(self) -> dict[str, Any]:
        """Lost, doubled and different, by what."""
        (self.home / "undisturbed").mkdir()
        undisturbed = FlowRun(self.world.path, self.home / "undisturbed")
        undisturbed.finish()
        expected, found = undisturbed.tables(), read_tables(self.dsn)
        counts = query_elsewhere(self.dsn, *DOUBLED.values())
        doubled = {what: rows[0]["n"] for what, rows in zip(DOUBLED, counts, strict=True)}
        doubled |= {f"{topic} topic": n for topic, n in self._doubled_records().items()}
        ids = {json.loads(value)["score_id"] for value, _ in self._records(self.settings.risk_topic) if value}
        ours, theirs = keyed(found), keyed(expected)
        lost = {name: len(rows.keys() - ours[name].keys()) for name, rows in theirs.items()}
        lost["risk topic"] = len(theirs["tick scores"].keys() - {(each,) for each in ids})
        different = {
            name: sum(ours[name].get(key, row) != row for key, row in rows.items()) for name, rows in theirs.items()
        }
        extra = {name: len(ours[name].keys() - rows.keys()) for name, rows in theirs.items()}
        totals = {name: len(rows) for name, rows in theirs.items()}
        return {"rows": totals, "lost": lost, "doubled": doubled, "different": different, "extra": extra}

    def _doubled_records(self) -> Counter[str]:
        """Records that a reader of committed records sees more than once."""
        doubled: Counter[str] = Counter()
        scores = [json.loads(value) for value, _ in self._records(self.settings.risk_topic) if value]
        alarms = [json.loads(value) for value, _ in self._records(self.settings.alarm_topic)]
        for topic, keys in {
            "risk": [each["score_id"] for each in scores if each["trigger"] == "tick"],
            "alarm": [each["alarm_id"] for each in alarms],
            "dead letter": [tuple(sorted(h.items())) for _, h in self._records(self.settings.dead_letter_topic)],
        }.items():
            doubled[topic] = len(keys) - len(set(keys))
        return doubled

    def _records(self, topic: str) -> Iterator[tuple[bytes, dict[str, bytes | None]]]:
        transport = KafkaTransport(self.settings)
        for partition in transport.partitions(topic):
            reader = transport.reader(topic, partition, None, live=False)
            while True:
                batch = reader.read(1000)
                headers = batch.headers or [()] * len(batch.values)
                yield from ((value, dict(of or ())) for value, of in zip(batch.values, headers, strict=True))
                if not batch.values and reader.at_end:
                    break
            reader.close()
        transport.close()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "c360_stream", *arguments]


def keyed(tables: Tables) -> dict[str, dict[tuple[object, ...], object]]:
    """Rows of a read with FINAL by their keys; topics without their prefix."""
    scores = [row for row in tables["risk_scores"] if row["trigger"] == "tick"]
    letters = [row | {"topic": row["topic"].partition(".")[2]} for row in tables["dead_letters"]]
    return {
        "tick scores": {(row["score_id"],): row for row in scores},
        "features": {(row["account_id"], row["as_of"]): row for row in tables["account_features"]},
        "outcomes": {(row["account_id"], row["as_of"]): row for row in tables["outcomes"]},
        "dead letters": {(row["topic"], row["partition"], row["offset"]): row for row in letters},
    }


def produce(settings: Settings, world: WrittenLog) -> None:
    """Make the input topics, with room for rubbish of any length, and write every line of the log."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_brokers, "log_level": 2})
    config = {"max.message.bytes": str(BYTES_MAX)}
    topics = [NewTopic(settings.input_topic(kind), PARTITIONS, -1, config=config) for kind in INPUT_KINDS]
    for made in admin.create_topics(topics).values():
        made.result(DEADLINE_SECONDS)
    # Idempotent: else a record that is sent again is overtaken by those after it, and late events are other ones.
    options = {"enable.idempotence": True, "message.max.bytes": BYTES_MAX, "log_level": 2}
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, **options})
    for topic in TOPICS:
        for file in (world.path / topic_name(topic)).glob("*.jsonl"):
            for line in file.read_bytes().split(b"\n")[:-1]:
                producer.produce(f"{settings.topic_prefix}.{topic}.events.v1", line, partition=int(file.stem))
                producer.poll(0)
    assert producer.flush(DEADLINE_SECONDS) == 0


def endure(
    seed: int,
    *,
    kills: int,
    restarts: int,
    accounts: int,
    processes: Callable[[int], int] = lambda _: 1,
    embedded: bool = False,
) -> dict[str, Any]:
    """Kill the run, every other time while it publishes; then take the broker away under it; then compare.

    `processes` says how many processes the n-th life has. Tables are behind HTTP, as of a server, which is not killed
    with the run; `embedded` ones are.
    """
    with ExitStack() as held:
        broker = held.enter_context(own_broker())
        home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        dsn = f"chdb://{home}/tables/c360"
        if not embedded:
            (home / "tables").mkdir()
            dsn = held.enter_context(ClickHouseFront(home / "tables")).dsn()
        chaos = Chaos(broker, home, seed, accounts, dsn)
        killed = publishing = restarted = 0
        while killed < kills:
            while_publishing = killed % 2 == 1
            if not chaos.kill(chaos.start(processes(chaos.lives)), publishing=while_publishing):
                break
            killed += 1
            publishing += while_publishing
        process = chaos.start(processes(chaos.lives))
        while restarted < restarts and process.poll() is None:
            grown = chaos.published()
            while process.poll() is None and chaos.published() <= grown:
                time.sleep(POLL_SECONDS)
            if process.poll() is None:
                broker.restart()
                restarted += 1
        chaos.finish(process)
        told = {"seed": seed, "kills": killed, "while_publishing": publishing, "restarts": restarted}
        return told | {"lives": chaos.lives} | chaos.verdict()


def whole(verdict: dict[str, Any]) -> bool:
    """Whether nothing is lost, doubled or different."""
    return not any(sum(verdict[name].values()) for name in ("lost", "doubled", "different", "extra"))


def main() -> None:
    """Endure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--embedded", action="store_true", help="tables in chDB, which is killed with the run")
    asked = parser.parse_args()
    verdict = endure(
        asked.seed, kills=asked.kills, restarts=asked.restarts, accounts=asked.accounts, embedded=asked.embedded
    )
    print(json.dumps(verdict))
    sys.exit(0 if whole(verdict) else 1)


if __name__ == "__main__":
    main()
