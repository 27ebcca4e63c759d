"""What is set, allowed, and probably a mistake: names that mean nothing, secrets that anybody can read."""

from __future__ import annotations

import difflib
import ipaddress
import os
from urllib.parse import urlsplit

from pydantic import SecretStr

from c360_stream.settings.config_file import DECLARED_MODELS, read_config
from c360_stream.settings.declaration import Settings, secret_fields
from c360_stream.settings.masking import mask_dsn
from c360_stream.settings.sources import CONFIG_VARIABLE, ENV_PREFIX

INTERNAL_VARIABLES = frozenset(
    {
        CONFIG_VARIABLE,
        "C360_PEERS",
        "C360_PROCESS",
        "C360_ALIGNMENT_FILE",
        "C360_REQUIRE_KAFKA",
        "C360_REQUIRE_STACK",
        "C360_PARENT_FD",
    }
)
"""Set by this program for its own processes, and by its tests."""


def unknown_settings() -> list[str]:
    """What is set in the environment or in `c360.toml` and means nothing, with the name that may have been meant.

    Raises
    ------
    ConfigurationError
        If the configuration file cannot be read.
    """
    fields = [name for name in Settings.model_fields if name != DECLARED_MODELS]
    variables = [f"{ENV_PREFIX}{name.upper()}" for name in fields]
    variables += [f"{ENV_PREFIX}{name.upper()}_FILE" for name in secret_fields()]
    strange = [name for name in sorted(os.environ) if name.upper().startswith(ENV_PREFIX)]
    found = [
        _guess(name, variables)
        for name in strange
        if name.upper() not in {*variables, *INTERNAL_VARIABLES, CONFIG_VARIABLE}
    ]
    config = read_config()
    place = ", ".join(map(str, config.files))
    return found + [f"{_guess(name, fields)} in {place}" for name in config.values if name not in fields]


def _guess(name: str, known: list[str]) -> str:
    likely = difflib.get_close_matches(name, known, 1)
    return f"{name} (did you mean {likely[0]}?)" if likely else name


def security_warnings(settings: Settings) -> list[str]:
    """What makes secrets readable on the network, or credentials ignored: a line each."""
    protocol = settings.kafka_security_protocol
    credentials = ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
    certificates = ("ca_location", "certificate_location", "key_location", "key_password")
    unused = [] if protocol.startswith("SASL") else [name for name in credentials if _is_set(settings, name)]
    if not protocol.endswith("SSL"):
        unused += [f"kafka_ssl_{name}" for name in certificates if _is_set(settings, f"kafka_ssl_{name}")]
    found = []
    if settings.uses_kafka and unused:
        found.append(
            f"kafka_security_protocol is {protocol}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} ignored"
        )
    far = [broker for broker in settings.kafka_brokers.split(",") if broker and not _is_loopback(broker)]
    if protocol == "SASL_PLAINTEXT" and far:
        found.append(f"kafka_security_protocol is {protocol}: the password goes to {far[0]} unencrypted; use SASL_SSL")
    scheme, _, rest = settings.dsn.partition("://")
    login, _, place = rest.rpartition("@")
    if scheme == "clickhouse" and ":" in login and not _is_loopback(place):
        found.append(f"{mask_dsn(settings.dsn)}: the password goes there unencrypted; use clickhouses://")
    return found


def _is_set(settings: Settings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _is_loopback(place: str) -> bool:
    try:
        host = urlsplit(f"//{place.rpartition('://')[2].strip()}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or nothing that can be understood
        return False
