"""A real Apache Kafka on this machine: one KRaft node on Java 17, from the jars that Maven fetches."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

KAFKA_VERSION = "4.3.1"  # 4.4.0 names a jar, kafka-tools-api, that was not published with it
CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
DOWNLOAD_SECONDS_MAX = 300
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10

POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version><scope>runtime</scope>
    </dependency>
  </dependencies>
</project>
"""

CONFIG = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home}/log
num.partitions=1
auto.create.topics.enable=true
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class KafkaUnavailableError(Exception):
    """Java, Maven or the jars are not to be had here."""


def jars() -> Path:
    """The folder of Kafka's jars, fetched once into the cache.

    Raises
    ------
    KafkaUnavailableError
        If they are not there and cannot be fetched; the reason in one line.
    """
    ready = CACHE / KAFKA_VERSION
    if ready.is_dir():
        return ready
    if shutil.which("mvn") is None:
        raise KafkaUnavailableError(f"no mvn to fetch the jars of Apache Kafka {KAFKA_VERSION}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        pom = Path(folder) / "pom.xml"
        pom.write_text(POM)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}/jars"]
        try:
            subprocess.run(
                ["mvn", "-B", "-q", "-f", str(pom), *goal],
                check=True,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_SECONDS_MAX,
            )
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stdout.splitlines() if "ERROR" in line] or ["no reason given"]
            raise KafkaUnavailableError(f"mvn could not fetch Apache Kafka's jars: {lines[0][:300]}") from error
        except subprocess.TimeoutExpired as error:
            raise KafkaUnavailableError(f"mvn took over {DOWNLOAD_SECONDS_MAX} s to fetch Kafka's jars") from error
        if not ready.is_dir():  # else another run was faster
            (Path(folder) / "jars").rename(ready)
    return ready


@contextmanager
def kafka_broker() -> Iterator[str]:
    """Run a broker on free loopback ports, in a directory of its own; gives its address.

    Raises
    ------
    KafkaUnavailableError
        If Java or the jars are missing.
    """
    if shutil.which("java") is None:
        raise KafkaUnavailableError("no java to run Apache Kafka")
    # The JVM compiles little and starts faster for it.
    java = ["java", "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*"]
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        home = Path(folder)
        port, controller_port = _free_ports()
        config = home / "server.properties"
        config.write_text(CONFIG.format(home=home, port=port, controller_port=controller_port))
        cluster = ["-t", "AAAAAAAAAAAAAAAAAAAAAQ", "--standalone", "-c", str(config)]
        subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", *cluster],
            check=True,
            capture_output=True,
            timeout=START_SECONDS_MAX,
        )
        with (home / "out.txt").open("wb") as output:
            process = subprocess.Popen(
                [*java, "kafka.Kafka", str(config)], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            _wait_until_ready(process, f"127.0.0.1:{port}", home / "out.txt")
            yield f"127.0.0.1:{port}"
        finally:
            _stop(process)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait_until_ready(process: subprocess.Popen[bytes], brokers: str, output: Path) -> None:
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if admin.list_topics(timeout=1).brokers:
                return
        except KafkaException:
            continue
    raise RuntimeError(f"Kafka did not start (exit code {process.poll()}):\n{output.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
