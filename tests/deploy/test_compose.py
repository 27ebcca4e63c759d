"""The compose file: valid, hardened, and in agreement with what the code reads, listens at and takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

from c360_stream.cli.main import LazyCommand, cli
from c360_stream.runtime.signals import STOP_SECONDS_MAX
from c360_stream.settings import Settings
from c360_stream.settings.declaration import secret_fields
from tests.deploy.compose import COMPOSE_FILE, ROOT, Compose, MissingVariableError, Service, load, make_secrets
from tests.deploy.test_secrets import PASSWORDS

OURS = ("setup", "worker", "heartbeat", "history", "demo")
NAMES = ("kafka", "clickhouse", *OURS, "prometheus", "alertmanager", "grafana")
WITHOUT_READ_ONLY = {"kafka"}
WITHOUT_HEALTH = {"setup", "heartbeat", "history", "demo"}
ONCE = {"setup", "history"}
LISTENS_AT = {
    "kafka": r"//0\.0\.0\.0:(\d+)",
    "prometheus": r"--web\.listen-address=0\.0\.0\.0:(\d+)",
    "alertmanager": r"--web\.listen-address=0\.0\.0\.0:(\d+)",
}
HTTP_PORT = 8123
"""ClickHouse's for HTTP, as its image has it."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def compose(secrets: Path) -> Compose:
    return load(secrets)


@pytest.fixture(params=NAMES)
def service(compose: Compose, request: pytest.FixtureRequest) -> Service:
    return compose.services[request.param]


def seconds(duration: str) -> float:
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert match, duration
    return 60 * int(match[1] or 0) + int(match[2] or 0)


def listeners(service: Service) -> set[str]:
    """Ports at which a service listens for others, from its own settings."""
    if service.name == "clickhouse":
        return {str(HTTP_PORT)}
    if service.name == "grafana":
        return {service.environment["GF_SERVER_HTTP_PORT"]}
    text = " ".join(service.command) + service.environment.get("KAFKA_LISTENERS", "")
    return set(re.findall(LISTENS_AT[service.name], text))


def test_every_service_is_looked_at(compose: Compose) -> None:
    assert set(compose.services) == set(NAMES)


def test_it_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_secrets_it_refuses_and_says_how_to_make_them() -> None:
    with pytest.raises(MissingVariableError, match="run make secrets first"):
        load(None)


def test_every_secret_is_made_and_used(compose: Compose, secrets: Path) -> None:
    declared = {name: Path(secret["file"]) for name, secret in compose.raw["secrets"].items()}
    assert set(declared.values()) == set(secrets.iterdir())
    used = {path for service in compose.services.values() for path in service.files.values()}
    assert set(declared.values()) <= used


def test_no_secret_is_in_the_file(secrets: Path) -> None:
    text = COMPOSE_FILE.read_text()
    for name in PASSWORDS:
        assert (secrets / name).read_text() not in text


def test_no_secret_is_in_an_environment(service: Service) -> None:
    """Whoever inspects a container sees its environment."""
    for name in service.environment:
        assert not re.search("PASSWORD|SECRET|TOKEN|DSN", name) or name.endswith("_FILE")


def test_images_are_pinned(service: Service) -> None:
    image, _, tag = service.raw["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+(\.\d+){2,3}", tag), service.raw["image"]


def test_the_image_has_the_version_of_the_package(compose: Compose) -> None:
    from c360_stream import __version__

    for name in OURS:
        assert compose.services[name].raw["image"] == f"c360-stream:{__version__}"
    assert f'image.version="{__version__}"' in (ROOT / "Dockerfile").read_text()


def test_the_broker_is_the_one_that_tests_run(compose: Compose) -> None:
    from tests.integration.kafka_broker import KAFKA_VERSION

    assert compose.services["kafka"].raw["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_services_are_hardened(service: Service) -> None:
    raw = service.raw
    assert raw["cap_drop"] == ["ALL"]
    assert "cap_add" not in raw
    assert not raw.get("privileged", False)
    assert raw["security_opt"] == ["no-new-privileges:true"]
    assert raw["read_only"] is (service.name not in WITHOUT_READ_ONLY)
    assert raw["user"].partition(":")[0] not in {"", "0", "root"}
    assert raw["mem_limit"]
    assert raw["cpus"] > 0
    assert raw["pids_limit"] > 0
    assert raw["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert raw["restart"] == ("on-failure:5" if service.name in ONCE else "unless-stopped")


def test_there_is_time_to_stop(service: Service) -> None:
    assert seconds(service.raw["stop_grace_period"]) >= 2 * (STOP_SECONDS_MAX + 1)


def test_health_is_checked(service: Service) -> None:
    if service.name in WITHOUT_HEALTH:
        # The image has no check, and to disable what is not there lets `up --wait` fail.
        assert "healthcheck" not in service.raw
        assert "HEALTHCHECK" not in (ROOT / "Dockerfile").read_text()
    else:
        check = service.raw["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert seconds(check["timeout"]) <= seconds(check["interval"])


def test_nothing_is_published_beyond_loopback(service: Service) -> None:
    for published in service.raw.get("ports", ()):
        address, outside, inside = published.split(":")
        assert address == "127.0.0.1"
        assert outside == inside
        assert inside in listeners(service)
        assert "edge" in service.raw["networks"], "an internal network publishes nothing"


def test_published_ports_are_distinct(compose: Compose) -> None:
    ports = [port for service in compose.services.values() for port in service.raw.get("ports", ())]
    assert len(set(ports)) == len(ports) == 5


def test_workers_show_their_metrics_where_they_are_asked_for(compose: Compose) -> None:
    worker = compose.services["worker"]
    processes = int(worker.command[worker.command.index("--processes") + 1])
    host, port = worker.environment["C360_METRICS_ADDRESS"].split(":")
    assert host == "0.0.0.0"
    ports = [str(int(port) + process) for process in range(processes)]
    assert worker.raw["expose"] == ports
    assert f"({', '.join(ports)})" in worker.raw["healthcheck"]["test"][-1]
    assert f"EXPOSE {' '.join(ports)}" in (ROOT / "Dockerfile").read_text()


def test_the_healthcheck_of_workers_is_a_program(compose: Compose) -> None:
    compile(compose.services["worker"].raw["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_every_setting_is_one_that_the_code_reads(compose: Compose) -> None:
    known = {f"C360_{name.upper()}" for name in Settings.model_fields}
    known |= {f"C360_{name.upper()}_FILE" for name in secret_fields()}
    for service in compose.services.values():
        names = {name for name in service.environment if name.startswith("C360_")}
        assert names <= known, service.name
        assert bool(names) is (service.name in OURS)


def test_the_settings_of_the_workers_are_accepted(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = compose.services["worker"]
    for name, value in worker.environment_here().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    password = worker.files["/run/secrets/kafka_password"].read_text()
    assert settings.kafka_sasl_password.get_secret_value() == password
    assert settings.kafka_brokers == compose.services["kafka"].environment["KAFKA_ADVERTISED_LISTENERS"].split(",")[
        0
    ].removeprefix("CLIENTS://")
    assert re.fullmatch(rf"clickhouse://c360:[\w-]{{43}}@clickhouse:{HTTP_PORT}/c360", settings.dsn)


def test_only_setup_has_the_password_of_the_user_that_changes_tables(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "/run/secrets/clickhouse_setup_dsn"
    assert [service.name for service in compose.services.values() if place in service.files] == ["setup"]
    assert "/run/secrets/clickhouse_dsn" not in compose.services["setup"].files
    for name, value in compose.services["setup"].environment_here().items():
        monkeypatch.setenv(name, value)
    assert re.fullmatch(rf"clickhouse://c360_setup:[\w-]{{43}}@clickhouse:{HTTP_PORT}/c360", Settings().dsn)


@pytest.mark.parametrize("name", OURS)
def test_commands_are_understood(compose: Compose, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, *arguments = compose.services[name].command
    listed = cli.commands[command]
    assert isinstance(listed, LazyCommand)
    found = listed.load()
    # Directories of the container are not here. The command is everybody's: it is put back.
    for parameter in found.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter, "type", click.STRING)
    found.make_context(command, arguments)


def test_state_is_kept_where_a_volume_is(compose: Compose) -> None:
    worker = compose.services["worker"]
    place = worker.command[worker.command.index("--recovery") + 1]
    assert f"recovery:{place}" in worker.raw["volumes"]
    image = (ROOT / "Dockerfile").read_text()
    assert f"--mode=0700 {place}" in image
    assert "VOLUME" not in image, "each container without a volume of its own would leave one behind"


def test_our_services_end_when_they_are_asked_to(compose: Compose) -> None:
    """Process 1 of a container has no default for SIGTERM."""
    assert all(compose.services[name].raw["init"] is True for name in OURS)


def test_the_user_of_our_services_is_the_images(compose: Compose) -> None:
    users = {compose.services[name].raw["user"] for name in OURS}
    assert users == set(re.findall(r"(?m)^USER (\S+)$", (ROOT / "Dockerfile").read_text()))


def test_mounted_files_exist(compose: Compose, secrets: Path) -> None:
    ours = {"deploy/clickhouse/users.d/c360.xml", "deploy/clickhouse/config.d/c360.xml"}
    mounted = {path for service in compose.services.values() for path in service.files.values()} - set(
        secrets.iterdir()
    )
    assert {ROOT / path for path in ours} <= mounted
    missing = [str(path.relative_to(ROOT)) for path in mounted if not path.exists()]
    assert not missing


def test_bind_mounts_are_read_only(service: Service) -> None:
    for volume in service.raw.get("volumes", ()):
        assert not volume.startswith(".") or volume.endswith(":ro")


@pytest.mark.parametrize("kind", ["volumes", "networks"])
def test_what_is_declared_is_used_and_the_other_way_round(compose: Compose, kind: str) -> None:
    used = {entry.partition(":")[0] for service in compose.services.values() for entry in service.raw.get(kind, ())}
    assert {name for name in used if not name.startswith(".")} == set(compose.raw[kind])


def test_the_private_network_has_no_way_out(compose: Compose) -> None:
    assert compose.raw["networks"]["backend"] == {"internal": True}
    for name in OURS:
        assert compose.services[name].raw["networks"] == ["backend"]


def test_all_wait_for_the_setup(compose: Compose) -> None:
    for name in ("worker", "heartbeat", "history", "demo"):
        assert compose.services[name].raw["depends_on"]["setup"] == {"condition": "service_completed_successfully"}
    for name in OURS:
        for needed in ("kafka", "clickhouse"):
            assert compose.services[name].raw["depends_on"][needed] == {"condition": "service_healthy"}
            assert needed not in WITHOUT_HEALTH


def test_the_demo_runs_only_when_it_is_asked_for(compose: Compose) -> None:
    assert {name for name in NAMES if "profiles" in compose.services[name].raw} == {"history", "demo"}
    demo, history = compose.services["demo"], compose.services["history"]
    assert demo.command[demo.command.index("--kafka") + 1] == demo.environment["C360_KAFKA_BROKERS"]
    assert [word for word in demo.command if word != "--live"] == [
        word for word in history.command if word != "--until-now"
    ], "not the same company"


def test_history_is_there_before_the_workers_tail(compose: Compose) -> None:
    done = {"condition": "service_completed_successfully"}
    assert compose.services["worker"].raw["depends_on"]["history"] == {**done, "required": False}
    assert compose.services["demo"].raw["depends_on"]["history"] == done
    assert compose.services["heartbeat"].raw["depends_on"]["worker"] == {"condition": "service_started"}


def test_kafka_asks_everybody_but_itself_for_a_password(compose: Compose) -> None:
    environment = compose.services["kafka"].environment
    protocols = dict(pair.split(":") for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    places = dict(place.split("://") for place in environment["KAFKA_LISTENERS"].split(","))
    for name, protocol in protocols.items():
        assert protocol.startswith("SASL") or places[name].startswith("localhost:")
    arguments = shlex.split(environment["KAFKA_OPTS"])
    assert arguments == ["-Djava.security.auth.login.config=/run/secrets/kafka_jaas"]


def test_clickhouses_logs_fit_into_its_memory(compose: Compose) -> None:
    """In the image they are 1 GB each, ten times."""
    logger = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "config.d" / "c360.xml").find("logger")
    assert logger is not None
    megabytes, kept = int(str(logger.findtext("size")).removesuffix("M")), int(str(logger.findtext("count")))
    (memory,) = (
        int(found[1])
        for place in compose.services["clickhouse"].raw["tmpfs"]
        if (found := re.fullmatch(r"/var/log/clickhouse-server:.*size=(\d+)m", place))
    )
    assert 2 * megabytes * (1 + kept) < memory, "the log and the log of errors, each with what is kept of it"
    assert logger.findtext("console") == "1"


def test_grafana_keeps_the_data_sources_of_its_image(compose: Compose) -> None:
    """It would take them away before it finds that a read-only root has no room for newer ones."""
    grafana = compose.services["grafana"]
    assert grafana.raw["read_only"]
    assert grafana.environment["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] == "false"
    assert "GF_PLUGINS_PREINSTALL_SYNC" not in grafana.environment, "without a way out nothing would start"


def elements(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from elements(child)


def test_nothing_is_left_to_interpolate(compose: Compose) -> None:
    assert not [text for text in elements(compose.raw) if isinstance(text, str) and "${" in text]
