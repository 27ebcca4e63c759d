"""Passwords, certificates and permissions, on a real Apache Kafka that asks for them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from c360_stream.cli.doctor.retention import look_at_retention
from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings
from tests.contracts.test_outbox import batch_of, values
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.integration.kafka_broker import Broker, required_broker
from tests.integration.test_kafka_real import done, read_on

pytestmark = pytest.mark.kafka
PASSWORD, STORE_PASSWORD, KEY_PASSWORD = "hunter2-correct", "changeit", "hunter2-key"
REFUSED_SECONDS_MAX = 5.0  # a broker that is there and refuses says so at once, and is asked again until then
LISTENERS = ("SASL_PLAINTEXT", "SSL", "SASL_SSL")
OPTIONS = f"""sasl.enabled.mechanisms=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
allow.everyone.if.no.acl.found=true
ssl.keystore.location={{folder}}/broker.p12
ssl.keystore.password={STORE_PASSWORD}
ssl.truststore.location={{folder}}/trust.p12
ssl.truststore.password={STORE_PASSWORD}
ssl.client.auth=requested
""" + "".join(
    f"listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'user_admin="{PASSWORD}" user_bob="{PASSWORD}";\n'
    for name in ("sasl_plaintext", "sasl_ssl")
)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def make_certificates(folder: Path) -> None:
    """A broker's and a client's self-signed certificates, each as the other's authority."""
    store = ("-storetype", "PKCS12", "-storepass", STORE_PASSWORD)
    names = ("-dname", "CN=127.0.0.1", "-ext", "SAN=ip:127.0.0.1")
    run("keytool", "-genkeypair", "-alias", "b", "-keyalg", "EC", *names, *store, "-keystore", f"{folder}/broker.p12")
    exported = ("-exportcert", "-rfc", "-alias", "b", "-file", f"{folder}/ca.pem")
    run("keytool", *exported, *store, "-keystore", f"{folder}/broker.p12")
    key = ("-newkey", "rsa:2048", "-keyout", f"{folder}/client.key", "-passout", f"pass:{KEY_PASSWORD}")
    run("openssl", "req", "-x509", *key, "-out", f"{folder}/client.pem", "-subj", "/CN=client", "-days", "2")
    imported = ("-importcert", "-noprompt", "-alias", "c", "-file", f"{folder}/client.pem")
    run("keytool", *imported, *store, "-keystore", f"{folder}/trust.p12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Broker]:
    with required_broker(OPTIONS.format(folder=folder), LISTENERS) as broker:
        yield broker


@pytest.fixture
def secured(broker: Broker, folder: Path) -> dict[str, str]:
    """Settings of each kind; their topics are there."""
    prefix = f"t-{uuid4().hex}"
    setup_topics(Settings(kafka_brokers=broker.address, topic_prefix=prefix, topic_partitions=1))
    return {"topic_prefix": prefix, "kafka_ssl_ca_location": str(folder / "ca.pem")}


def settings_of(broker: Broker, protocol: str, secured: dict[str, str], **others: object) -> Settings:
    place = {"kafka_brokers": broker.address_of(protocol), "kafka_security_protocol": protocol}
    login = {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "bob", "kafka_sasl_password": PASSWORD}
    unneeded = {} if protocol.startswith("SASL") else login
    values = {**place, **login, **secured, "outage_seconds_max": 60, **others}
    return Settings.model_validate({name: value for name, value in values.items() if name not in unneeded})


@pytest.mark.parametrize("protocol", LISTENERS)
def test_what_is_sent_with_credentials_is_read_with_them(
    broker: Broker, folder: Path, secured: dict[str, str], protocol: str
) -> None:
    certificate = {
        "kafka_ssl_certificate_location": str(folder / "client.pem"),
        "kafka_ssl_key_location": str(folder / "client.key"),
        "kafka_ssl_key_password": KEY_PASSWORD,
    }
    settings = settings_of(broker, protocol, secured, **(certificate if protocol == "SSL" else {}))
    outbox = KafkaTransport(settings).outbox("0")
    outbox.publish("store", 1, batch_of(settings, 1))
    outbox.write([(settings.risk_topic, OutRecord("acct", b"2"))])
    outbox.flush()
    outbox.close()
    assert values(KafkaTransport(settings), settings.risk_topic) == [b"1", b"2"]


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_wrong_password_is_an_error_of_one_line(broker: Broker, secured: dict[str, str], protocol: str) -> None:
    settings = settings_of(broker, protocol, secured, kafka_sasl_password="hunter2-wrong")
    with pytest.raises(TransportError, match=r"[Aa]uthentication failed.*credentials") as error:
        KafkaTransport(settings, start_seconds_max=REFUSED_SECONDS_MAX).partitions(settings.risk_topic)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_broker_that_nobody_vouches_for_is_an_error_of_one_line(
    broker: Broker, folder: Path, secured: dict[str, str]
) -> None:
    settings = settings_of(broker, "SSL", secured, kafka_ssl_ca_location=str(folder / "client.pem"))
    with pytest.raises(TransportError, match="certificate verify failed") as error:
        KafkaTransport(settings, start_seconds_max=REFUSED_SECONDS_MAX).partitions(settings.risk_topic)
    assert "\n" not in str(error.value)


def test_a_client_that_speaks_in_clear_to_a_port_of_certificates_is_told(
    broker: Broker, secured: dict[str, str]
) -> None:
    settings = Settings(kafka_brokers=broker.address_of("SSL"), topic_prefix=secured["topic_prefix"])
    with pytest.raises(TransportError, match=r"Kafka at .*; check C360_KAFKA_BROKERS") as error:
        KafkaTransport(settings, start_seconds_max=3.0).partitions("t")
    assert "\n" not in str(error.value)


def deny(admin: AdminClient, kind: ResourceType, name: str, operation: AclOperation) -> None:
    """Forbid bob an operation."""
    pattern = (kind, name, ResourcePatternType.LITERAL)
    denied = AclBinding(*pattern, "User:bob", "*", operation, AclPermissionType.DENY)
    done(admin.create_acls([denied]))
    asked = AclBindingFilter(*pattern, "User:bob", "*", AclOperation.ANY, AclPermissionType.ANY)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while denied not in admin.describe_acls(asked).result(DEADLINE_SECONDS):
        assert time.monotonic() < deadline, "the broker never heard of it"


def test_what_may_not_be_read_or_written_is_named_at_once(broker: Broker, secured: dict[str, str]) -> None:
    settings = settings_of(broker, "SASL_PLAINTEXT", secured, outage_seconds_max=900)
    topic = settings.risk_topic
    transport = KafkaTransport(settings)
    writer, reader, outbox = (
        transport.writer(topic, None),
        transport.reader(topic, 0, None, live=True),
        transport.outbox("0"),
    )
    writer.write([OutRecord("acct", b"1")])
    writer.flush()
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
    deny(admin, ResourceType.TOPIC, topic, AclOperation.WRITE)
    writer.write([OutRecord("acct", b"2")])
    with pytest.raises(TransportError, match=rf"cannot write {topic}.*let this user write to topic {topic}"):
        writer.flush()
    with pytest.raises(TransportError, match=rf"{topic}.*[Aa]uthorization failed"):
        outbox.publish("store", 1, batch_of(settings, 1))
    deny(admin, ResourceType.TOPIC, topic, AclOperation.READ)
    with pytest.raises(TransportError, match=rf"cannot read {topic}\[0\].*let this user read topic {topic}"):
        read_on(reader)
    for client in (writer, reader, outbox):
        client.close()


def test_a_topic_that_may_not_be_described_is_said_to_be_by_setup_and_doctor(
    broker: Broker, secured: dict[str, str]
) -> None:
    settings = settings_of(broker, "SASL_PLAINTEXT", secured, topic_partitions=1)
    product, billing = settings.input_topic("product"), settings.input_topic("billing")
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
    pattern = (ResourceType.TOPIC, billing, ResourcePatternType.LITERAL)
    done(admin.create_acls([AclBinding(*pattern, "User:bob", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW)]))
    deny(admin, ResourceType.TOPIC, billing, AclOperation.DESCRIBE_CONFIGS)
    lines = setup_topics(settings)
    assert f"{product}: exists, 1 partitions" in lines
    [line] = [line for line in lines if line.startswith(billing)]
    assert line.startswith(f"{billing}: exists, 1 partitions; its configuration was not looked at: ")
    notes = {note.topic: note for note in look_at_retention(settings, [product, billing])}
    assert not notes[product].is_warning
    assert notes[billing].is_warning
    assert "let this user describe the topic's configuration (DescribeConfigs)" in notes[billing].found


def test_a_transactional_id_that_may_not_be_used_is_an_error(broker: Broker, secured: dict[str, str]) -> None:
    settings = settings_of(broker, "SASL_PLAINTEXT", secured, outage_seconds_max=900)
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
    deny(admin, ResourceType.TRANSACTIONAL_ID, f"{settings.topic_prefix}.outbox.7", AclOperation.WRITE)
    with pytest.raises(TransportError, match=r"[Tt]ransactional [Ii]d authorization failed"):
        KafkaTransport(settings).outbox("7")


def test_a_password_that_is_changed_under_a_run_ends_it_soon(broker: Broker, secured: dict[str, str]) -> None:
    """The last one: the broker keeps the other password."""
    settings = settings_of(broker, "SASL_PLAINTEXT", secured, outage_seconds_max=900)
    transport = KafkaTransport(settings)
    writer, reader = (
        transport.writer(settings.risk_topic, None),
        transport.reader(settings.risk_topic, 0, None, live=True),
    )
    broker.kill()
    broker.reconfigure(f'user_bob="{PASSWORD}"', 'user_bob="changed"')
    broker.start()
    writer.write([OutRecord("acct", b"1")])
    refused = r"refuses the connection.*[Aa]uthentication failed.*credentials"
    with pytest.raises(TransportError, match=refused):
        writer.flush()
    with pytest.raises(TransportError, match=refused) as error:
        read_on(reader)
    assert "hunter2" not in str(error.value)
    writer.close()
    reader.close()
