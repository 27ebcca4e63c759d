"""What the manifests start, on real processes, Kafka with passwords and certificates, and a ClickHouse server.

Commands, variables, secrets and probes are those that kustomize renders. Nothing here runs in a container: addresses
of the loopback network stand in for the pods' names, a directory for their volume.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from c360_stream.settings import Settings
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.deploy import kubernetes_tools, manifests
from tests.deploy.pods import Pods, overlay
from tests.integration.kafka_broker import Broker, required_broker
from tests.integration.test_flow_on_kafka import records
from tests.integration.test_kafka_security import LISTENERS, OPTIONS, PASSWORD, make_certificates

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
STALL_SECONDS = 30
# An outage has to last for longer than that, so that it is short where no cluster has to form.
STALL_SECONDS_OF_OUTAGE = 15
PARTITIONS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Broker]:
    with required_broker(OPTIONS.format(folder=folder), LISTENERS) as broker:
        yield broker


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    with ClickHouseFront(tmp_path_factory.mktemp("clickhouse")) as front:
        yield front


class Deployment:
    """The manifests for this machine's Kafka and ClickHouse, and what goes through the flow that they start."""

    def __init__(self, home: Path, broker: Broker, clickhouse: ClickHouseFront, ca: Path) -> None:
        self.home = home
        self.prefix = home.name.replace("_", "-")
        self.settings = {
            "C360_KAFKA_BROKERS": broker.address_of("SASL_SSL"),
            "C360_KAFKA_SASL_MECHANISM": "PLAIN",
            "C360_KAFKA_SASL_USERNAME": "bob",
            "C360_TOPIC_PREFIX": self.prefix,
            "C360_STALL_SECONDS_MAX": str(STALL_SECONDS),
            "C360_SNAPSHOT_SECONDS": "1",
            "C360_SHARDS": "4",
        }
        secrets = {
            "clickhouse-dsn": f"{clickhouse.dsn()}\n",
            "kafka-sasl-password": f"{PASSWORD}\n",
            "kafka-ca.pem": ca.read_text(),
        }
        self.copy = manifests.copy_of_manifests(home, secrets)
        self._known = Settings(kafka_brokers=broker.address, topic_prefix=self.prefix)
        self._sent: Counter[bytes] = Counter()

    def pods(self, name: str, peers: range | None = None) -> Pods:
        """The pods of an overlay on one of the examples."""
        on = "example" if peers is None else "example-cluster"
        try:
            return Pods(manifests.render(overlay(self.copy, name, on, self.settings, peers)), self.home)
        except kubernetes_tools.ToolUnavailableError as error:
            kubernetes_tools.required(error)
            raise

    def send(self) -> None:
        """Send a record to every partition that comes out again, once, in the dead letters."""
        producer = Producer({"bootstrap.servers": self._known.kafka_brokers, "enable.idempotence": True})
        for partition in range(PARTITIONS):
            value = f"no JSON {len(self._sent)}".encode()
            producer.produce(self._known.input_topic("product"), value, key=b"acme", partition=partition)
            self._sent[value] += 1
        assert producer.flush(DEADLINE_SECONDS) == 0

    def all_through(self) -> bool:
        """Whether everything that was sent has come out, once."""
        found = Counter(value for value, _ in records(self._known, self._known.dead_letter_topic))
        assert not found - self._sent, f"twice: {found - self._sent}"
        return found == self._sent

    def works(self, pods: Pods) -> None:
        """All are ready, and what is sent now comes out."""
        pods.supervise(pods.all_ready, "ready")
        self.send()
        pods.supervise(self.all_through, "through")


@pytest.fixture
def deployment(tmp_path: Path, broker: Broker, clickhouse: ClickHouseFront, folder: Path) -> Deployment:
    return Deployment(tmp_path, broker, clickhouse, folder / "ca.pem")


def test_a_pod_starts_is_killed_and_becomes_a_cluster_of_pods(deployment: Deployment) -> None:
    """One pod of two processes, then three of one each, then two: the recovery volume goes along."""
    alone = deployment.pods("alone")
    with alone:
        alone.setup()
        alone.start(0)
        deployment.works(alone)
        assert alone.execute(0, "c360", "doctor") == 0, alone.output()
        alone.kill(0)
        deployment.works(alone)
        assert alone.delete(0) == [0], alone.output()
    three = deployment.pods("three", range(3))
    with three:
        three.setup()  # in all three at the same time, and repeated
        three.start(2)  # waits for process 0, which checks the store
        three.start(0, 1)
        deployment.works(three)
        for victim in (1, 0, 2):
            three.kill(victim)
            deployment.works(three)
        assert three.restarts >= 9, "what ends one ends all"
        assert three.delete(0, 1, 2) == [0, 0, 0], three.output()
    two = deployment.pods("two", range(2))
    with two:
        two.start(1, 0)
        deployment.works(two)
        assert two.delete(1, 0) == [0, 0], two.output()
    assert "Traceback" not in two.output()


def test_a_cluster_whose_pods_come_and_go_while_it_forms_gets_together(deployment: Deployment) -> None:
    """A process that others have connected to is killed before all are there."""
    pods = deployment.pods("forming", range(3))
    with pods:
        pods.setup()
        pods.start(0, 1)
        for victim in (1, 0):
            pods.supervise(pods.any_connected_to_first, "connected")
            pods.kill(victim)
        pods.supervise(pods.any_connected_to_first, "connected")
        pods.start(2)
        deployment.works(pods)
        assert pods.delete(0, 1, 2) == [0, 0, 0], pods.output()


def test_an_outage_makes_a_pod_unready_and_does_not_restart_it(
    deployment: Deployment, broker: Broker, clickhouse: ClickHouseFront
) -> None:
    deployment.settings["C360_STALL_SECONDS_MAX"] = str(STALL_SECONDS_OF_OUTAGE)
    pods = deployment.pods("outage")
    with pods:
        pods.setup()
        pods.start(0)
        deployment.works(pods)
        before = pods.restarts
        clickhouse.down()
        try:
            deployment.send()
            pods.supervise(pods.any_unready, "unready")
            broker.pause()
            pods.supervise(alive_for(pods, 1.5 * STALL_SECONDS_OF_OUTAGE), "over")
        finally:
            broker.go_on()
            clickhouse.up()
        deployment.works(pods)
        assert pods.restarts == before, pods.output()
        assert pods.delete(0) == [0], pods.output()


def alive_for(pods: Pods, seconds: float) -> Callable[[], bool]:
    """A condition that holds once every pod has been alive for so long; it fails if one is not."""
    until = time.monotonic() + seconds

    def over() -> bool:
        assert pods.all_alive(), pods.output()
        return time.monotonic() > until

    return over
