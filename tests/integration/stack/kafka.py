"""A Kafka broker of the compose file's environment, from the jars."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.integration.kafka_broker import KafkaUnavailableError, jars
from tests.integration.stack.processes import Process

FORMAT_SECONDS_MAX = 60
PREFIX = "KAFKA_"
# Of the image's start script, not of the broker: KafkaDockerWrapper leaves them out of server.properties.
_OF_THE_START_SCRIPT = ("OPTS", "HEAP_OPTS", "LOG4J_OPTS", "JMX_OPTS", "GC_LOG_OPTS", "JVM_PERFORMANCE_OPTS", "VERSION")
# Little is compiled, and it starts faster for it.
JAVA = ("java", "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1")


def server_properties(environment: Mapping[str, str]) -> dict[str, str]:
    """What the image's start script makes of its environment.

    >>> server_properties({"KAFKA_LOG_DIRS": "/d", "KAFKA_OPTS": "-D", "PATH": "/bin", "KAFKA_A__B_C___D": "e"})
    {'log.dirs': '/d', 'a_b.c-d': 'e'}
    """
    names = {name: name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX)}
    return {
        short.lower().replace("_", ".").replace("...", "-").replace("..", "_"): environment[name]
        for name, short in names.items()
        if short not in _OF_THE_START_SCRIPT and not short.startswith("LOG4J_")
    }


def start_kafka(home: Path, environment: Mapping[str, str]) -> Process:
    """Format a broker's folder and start the broker.

    Parameters
    ----------
    home
        An empty folder.
    environment
        As in the compose file, translated.

    Raises
    ------
    KafkaUnavailableError
        If Java or the jars are missing.
    StackError
        If the folder cannot be formatted.
    """
    if shutil.which("java") is None:
        raise KafkaUnavailableError("no java to run Apache Kafka")
    properties = server_properties(environment) | {"log.dirs": str(home / "log")}
    config = home / "server.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    options = environment.get("KAFKA_OPTS", "").split()
    java = [*JAVA, *options, "-cp", f"{jars()}/*"]
    # The controller's own voters are in the configuration if it names them; else this node is the only one.
    alone = [] if "controller.quorum.voters" in properties else ["--standalone"]
    cluster = ["-t", environment.get("CLUSTER_ID", "AAAAAAAAAAAAAAAAAAAAAQ")]
    formatting = [*java, "kafka.tools.StorageTool", "format", *cluster, "-c", str(config), *alone]
    Process("kafka-format", formatting, home).wait(FORMAT_SECONDS_MAX)
    return Process("kafka", [*java, "kafka.Kafka", str(config)], home)


def is_up(client: Mapping[str, str]) -> bool:
    """Whether a broker lets a client in."""
    try:
        return bool(AdminClient({**client, "log_level": 0}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False
