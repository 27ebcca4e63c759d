"""The broker of the compose file, from Apache Kafka's jars: the image's own start-up code makes its configuration."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.deploy.compose import Service
from tests.integration.guard import guarded
from tests.integration.kafka_broker import START_SECONDS_MAX, STOP_SECONDS_MAX, free_ports, jars

LISTENERS = {"CLIENTS": 9092, "HOST": 9094, "CONTROLLER": 9093}
"""Names of the compose file's listeners, and their ports there."""


@contextmanager
def compose_broker(service: Service, home: Path) -> Iterator[dict[str, str]]:
    """Run the broker on loopback ports that are free.

    Parameters
    ----------
    service
        Service `kafka` of the compose file, with its secrets.
    home
        An empty directory.

    Yields
    ------
    Address by the listener's name.

    Raises
    ------
    KafkaUnavailableError
        If Java or the jars are missing.
    """
    ports = free_ports(*LISTENERS)
    environment = _environment_here(service, home, ports)
    config = home / "config"
    config.mkdir()
    (config / "server.properties").touch()  # the image clears it, too
    java = ["java", "-cp", f"{jars()}/*", *shlex.split(environment["KAFKA_OPTS"])]
    directories = [f"--{kind}-configs-dir={place}" for kind, place in _directories(home).items()]
    subprocess.run(
        [*java, "kafka.docker.KafkaDockerWrapper", "setup", *directories],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        timeout=START_SECONDS_MAX,
    )
    output = home / "out.txt"
    with output.open("wb") as file:
        heap = shlex.split(environment["KAFKA_HEAP_OPTS"])
        command = [*java, *heap, "-XX:TieredStopAtLevel=1", "kafka.Kafka", str(config / "server.properties")]
        process = subprocess.Popen(guarded(command), stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    try:
        _wait_until_ready(process, {"bootstrap.servers": addresses["CLIENTS"], **login(service)}, output)
        yield addresses
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def login(service: Service) -> dict[str, str]:
    """What librdkafka needs to log in, from the properties that Kafka's own tools get."""
    lines = service.files["/run/secrets/kafka_client"].read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    words = dict(word.split("=", 1) for word in shlex.split(properties.pop("sasl.jaas.config").rstrip(";"))[2:])
    return {**properties, "sasl.username": words["username"], "sasl.password": words["password"]}


def _wait_until_ready(process: subprocess.Popen[bytes], config: dict[str, str], output: Path) -> None:
    admin = AdminClient({**config, "log_level": 2})
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if admin.list_topics(timeout=1).brokers:
                return
        except KafkaException:
            continue
    raise RuntimeError(f"Kafka did not start (exit code {process.poll()}):\n{output.read_text()[-4000:]}")


def _environment_here(service: Service, home: Path, ports: dict[str, int]) -> dict[str, str]:
    environment = service.environment_here(KAFKA_LOG_DIRS=str(home / "data"))
    for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"):
        value = environment[name].replace("0.0.0.0", "127.0.0.1").replace("//kafka:", "//127.0.0.1:")
        for listener, port in LISTENERS.items():
            value = value.replace(f":{port}", f":{ports[listener]}")
        environment[name] = value
    return environment


def _directories(home: Path) -> dict[str, Path]:
    places = {"default": home / "default", "mounted": home / "mounted"}
    for place in places.values():
        place.mkdir()
    return {**places, "final": home / "config"}
