"""A real Apache Kafka on this machine: one KRaft node on Java 17, from the jars that Maven fetches."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
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
controller.quorum.bootstrap.servers=127.0.0.1:{ports[CONTROLLER]}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols}
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
    with (CACHE / ".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=CACHE) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: they would share Maven's own cache
        if ready.is_dir():
            return ready
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
        (Path(folder) / "jars").rename(ready)
    return ready


class Broker:
    """One broker: it keeps its ports and its data while it is stopped, killed and started again.

    Parameters
    ----------
    home
        An empty directory.
    options
        Further lines of its configuration.
    listeners
        Security protocols to listen with besides PLAINTEXT.

    Raises
    ------
    KafkaUnavailableError
        If Java or the jars are missing.
    """

    def __init__(self, home: Path, options: str = "", listeners: Sequence[str] = ()) -> None:
        if shutil.which("java") is None:
            raise KafkaUnavailableError("no java to run Apache Kafka")
        # The JVM compiles little and starts faster for it.
        self._java = ["java", "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*"]
        self._home = home
        self._config = home / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = free_ports("PLAINTEXT", "CONTROLLER", *listeners)
        places = {name: f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()}
        config = CONFIG.format(
            home=home,
            ports=self._ports,
            listeners=",".join(places.values()),
            advertised=",".join(place for name, place in places.items() if name != "CONTROLLER"),
            protocols=",".join(f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in places),
        )
        self._config.write_text(config + options)
        self._run("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "--standalone")

    @property
    def address(self) -> str:
        """Where it listens without security."""
        return self.address_of("PLAINTEXT")

    def address_of(self, protocol: str) -> str:
        """Where it listens with a security protocol."""
        return f"127.0.0.1:{self._ports[protocol]}"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        with (self._home / "out.txt").open("ab") as output:
            command = [*self._java, "kafka.Kafka", str(self._config)]
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        if wait:
            _wait_until_ready(self._process, self.address, self._home / "out.txt")

    def stop(self) -> None:
        """Shut it down in order."""
        if self._process is not None:
            _stop(self._process)
        self._process = None

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None, "it does not run"
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self, *, orderly: bool = False) -> None:
        """Kill it, or shut it down in order, and start it again."""
        if orderly:
            self.stop()
        else:
            self.kill()
        self.start()

    def reconfigure(self, old: str, new: str) -> None:
        """Change its configuration from the next start on."""
        self._config.write_text(self._config.read_text().replace(old, new))

    def pause(self) -> None:
        """Stop it from answering, though its connections stay open."""
        assert self._process is not None, "it does not run"
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        assert self._process is not None, "it does not run"
        os.killpg(self._process.pid, signal.SIGCONT)

    def _run(self, *command: str) -> None:
        subprocess.run(
            [*self._java, *command, "-c", str(self._config)],
            check=True,
            capture_output=True,
            timeout=START_SECONDS_MAX,
        )


@contextmanager
def own_broker(options: str = "", listeners: Sequence[str] = ()) -> Iterator[Broker]:
    """Run a broker that the caller may stop, kill and start; see `Broker`."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        broker = Broker(Path(folder), options, listeners)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


@contextmanager
def required_broker(options: str = "", listeners: Sequence[str] = ()) -> Iterator[Broker]:
    """Run such a broker for tests, which are skipped where there can be none, or fail if `C360_REQUIRE_KAFKA=1`."""
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(own_broker(options, listeners))
        except KafkaUnavailableError as error:
            if os.environ.get("C360_REQUIRE_KAFKA") == "1":
                pytest.fail(f"C360_REQUIRE_KAFKA=1, but {error}")
            pytest.skip(str(error))
        yield broker


@contextmanager
def kafka_broker() -> Iterator[str]:
    """Run a broker on free loopback ports, in a directory of its own; gives its address.

    Raises
    ------
    KafkaUnavailableError
        If Java or the jars are missing.
    """
    with own_broker() as broker:
        yield broker.address


def free_ports(*names: str) -> dict[str, int]:
    """Ports that nobody listens at, below those that connections are given: a broker that is away finds its own again.

    They differ from those of brokers of other test processes by chance.
    """
    with ExitStack() as stack:
        found: dict[str, int] = {}
        while len(found) < len(names):
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", secrets.randbelow(12_000) + 20_000))
                found[names[len(found)]] = one.getsockname()[1]
        return found


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
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGCONT)  # it may be paused
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
