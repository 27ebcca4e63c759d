"""Makes the passwords of the compose stack: run by `make secrets`, with nothing but Python's standard library.

Passwords go to files of their own in a directory that only its owner can enter. The files themselves are readable for
all: compose mounts each one alone, with the owner and mode that it has here, and the containers' users are not its
owner. What a program wants in a form of its own (a DSN, Kafka's login file) is written from the same passwords.
Nothing that exists is overwritten, and no password is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

PASSWORD_BYTES = 32
PASSWORDS = (
    "kafka_password",
    "clickhouse_password",
    "clickhouse_setup_password",
    "clickhouse_grafana_password",
    "grafana_admin_password",
)
VARIABLE = "SECRETS_DIR"
"""Where the compose file finds them; `.env` sets it, and compose refuses to start without it."""


def kafka_jaas(passwords: Mapping[str, str]) -> str:
    """Kafka's login file: who the broker is among brokers, and whom it lets in."""
    password = passwords["kafka_password"]
    return (
        "KafkaServer {\n"
        "  org.apache.kafka.common.security.plain.PlainLoginModule required\n"
        f'  username="c360" password="{password}"\n'
        f'  user_c360="{password}";\n'
        "};\n"
    )


def kafka_client(passwords: Mapping[str, str]) -> str:
    """Properties with which Kafka's own tools log in."""
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return (
        "security.protocol=SASL_PLAINTEXT\n"
        "sasl.mechanism=PLAIN\n"
        f'sasl.jaas.config={module} required username="c360" password="{passwords["kafka_password"]}";\n'
    )


def clickhouse_dsn(passwords: Mapping[str, str]) -> str:
    """The DSN of the workers."""
    return f"clickhouse://c360:{passwords['clickhouse_password']}@clickhouse:8123/c360\n"


def clickhouse_setup_dsn(passwords: Mapping[str, str]) -> str:
    """The DSN of `c360 setup`, which makes and changes the tables."""
    return f"clickhouse://c360_setup:{passwords['clickhouse_setup_password']}@clickhouse:8123/c360\n"


def clickhouse_users(passwords: Mapping[str, str]) -> str:
    """Passwords of the users of deploy/clickhouse/users.d, as ClickHouse wants them."""
    names = {
        "c360": "clickhouse_password",
        "c360_setup": "clickhouse_setup_password",
        "grafana": "clickhouse_grafana_password",
    }
    lines = [
        f"    <{user}><password_sha256_hex>{hashlib.sha256(passwords[name].encode()).hexdigest()}</password_sha256_hex>"
        f"</{user}>"
        for user, name in names.items()
    ]
    return "\n".join(["<clickhouse>", "  <users>", *lines, "  </users>", "</clickhouse>", ""])


DERIVED: dict[str, Callable[[Mapping[str, str]], str]] = {
    "kafka_jaas": kafka_jaas,
    "kafka_client": kafka_client,
    "clickhouse_dsn": clickhouse_dsn,
    "clickhouse_setup_dsn": clickhouse_setup_dsn,
    "clickhouse_users": clickhouse_users,
}


def make(directory: Path) -> list[str]:
    """Make what is missing; return one line per file, without its content.

    Raises
    ------
    OSError
        If the directory cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    # No line end: some programs would take it for a part of the password.
    lines = [_write(directory / name, secrets.token_urlsafe(PASSWORD_BYTES)) for name in PASSWORDS]
    passwords = {name: (directory / name).read_text().strip() for name in PASSWORDS}
    return lines + [_derive(directory / name, content(passwords)) for name, content in DERIVED.items()]


def _derive(path: Path, content: str) -> str:
    line = _write(path, content)
    # Of another release, or of a password that was changed since.
    stale = path.read_text() != content
    return f"{line}, but it does not fit this release and these passwords: remove it, run this again" if stale else line


def _write(path: Path, content: str) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return f"{path}: kept"
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)
    return f"{path}: made"


def name_directory(environment_file: Path, directory: Path) -> str:
    """Name the secrets' directory for compose, unless the file does already."""
    setting = f"{VARIABLE}={directory}"
    known = environment_file.read_text().splitlines() if environment_file.exists() else []
    if any(line.startswith(f"{VARIABLE}=") for line in known):
        return f"{environment_file}: kept"
    environment_file.write_text("\n".join([*known, setting, ""]))
    return f"{environment_file}: sets {setting}"


def main() -> int:
    """Entry point; exit code 1 and one line on stderr if something cannot be written."""
    parser = argparse.ArgumentParser(description="Make the passwords of the compose stack; none is overwritten.")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("deploy/secrets"))
    parser.add_argument("--env-file", type=Path, default=Path(".env"), help="of compose; default: .env")
    options = parser.parse_args()
    try:
        lines = [*make(options.directory), name_directory(options.env_file, options.directory)]
    except OSError as error:
        sys.stderr.write(f"make secrets: {error.filename}: {error.strerror}; fix that and run it again\n")
        return 1
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
