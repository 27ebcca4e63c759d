"""`make secrets`: random, for its owner only, never overwritten, never shown."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT, make_secrets

CLICKHOUSE_PASSWORDS = {
    "c360": "clickhouse_password",
    "c360_setup": "clickhouse_setup_password",
    "grafana": "clickhouse_grafana_password",
}
PASSWORDS = {"kafka_password", "grafana_admin_password", *CLICKHOUSE_PASSWORDS.values()}
DERIVED = {"kafka_jaas", "kafka_client", "clickhouse_dsn", "clickhouse_setup_dsn", "clickhouse_users"}


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_passwords_are_random_and_distinct(tmp_path: Path) -> None:
    found = [contents(make_secrets(tmp_path / name)) for name in ("a", "b")]
    assert all(set(one) == PASSWORDS | DERIVED for one in found)
    passwords = [one[name] for one in found for name in PASSWORDS]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(r"[\w-]{43}", password) for password in passwords)


def test_only_the_owner_gets_at_them_though_containers_can_read_them(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        secrets = make_secrets(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o644}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    before = contents(make_secrets(tmp_path))
    env = (tmp_path / ".env").read_text()
    assert contents(make_secrets(tmp_path)) == before
    assert (tmp_path / ".env").read_text() == env == f"SECRETS_DIR={tmp_path}/secrets\n"


def test_what_is_missing_is_made_from_what_is_there(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path)
    (secrets / "kafka_jaas").unlink()
    (secrets / "grafana_admin_password").unlink()
    before = contents(secrets)
    after = contents(make_secrets(tmp_path))
    assert before.items() <= after.items()
    assert f'user_c360="{before["kafka_password"]}"' in after["kafka_jaas"]


def test_what_was_made_by_an_older_release_is_kept_and_said_to_be_so(tmp_path: Path) -> None:
    users = make_secrets(tmp_path) / "clickhouse_users"
    old = re.sub(r"    <c360_setup>.*\n", "", users.read_text())
    users.write_text(old)
    command = [sys.executable, str(ROOT / "deploy/make_secrets.py"), "secrets"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    stale = [line for line in done.stdout.splitlines() if "remove it" in line]
    assert [line.partition(": kept, but ")[0] for line in stale] == ["secrets/clickhouse_users"]
    assert users.read_text() == old
    users.unlink()
    make_secrets(tmp_path)
    assert "<c360_setup>" in users.read_text()


def test_an_environment_file_keeps_its_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=demo")
    make_secrets(tmp_path)
    assert (tmp_path / ".env").read_text() == f"COMPOSE_PROFILES=demo\nSECRETS_DIR={tmp_path}/secrets\n"


def test_it_says_what_it_made_without_the_values(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy/make_secrets.py"), "secrets"]
    for word in ("made", "kept"):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
        assert f"secrets/kafka_password: {word}" in done.stdout
        for password in map(contents(tmp_path / "secrets").get, PASSWORDS):
            assert password is not None
            assert password not in done.stdout + done.stderr


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file")
    command = [sys.executable, str(ROOT / "deploy/make_secrets.py"), "secrets"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == "make secrets: secrets: File exists; fix that and run it again\n"


def test_make_runs_it() -> None:
    # Make tells of directories when it runs in another make.
    command = ["make", "--dry-run", "--no-print-directory", "secrets"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip().endswith("deploy/make_secrets.py")


@pytest.mark.parametrize("path", ["deploy/secrets/kafka_password", ".env"])
def test_git_and_the_image_do_not_take_them(path: str) -> None:
    subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=True, timeout=30)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_clickhouse_lets_in_nobody_without_a_password(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path)
    users = ET.parse(ROOT / "deploy/clickhouse/users.d/c360.xml").getroot().find("users")
    given = ET.parse(secrets / "clickhouse_users").getroot().find("users")
    assert users is not None
    assert given is not None
    default = users.find("default")
    assert default is not None
    assert default.attrib == {"remove": "remove"}
    names = {user.tag for user in users} - {"default"}
    assert names == {user.tag for user in given} == set(CLICKHOUSE_PASSWORDS)
    for user, name in CLICKHOUSE_PASSWORDS.items():
        password = (secrets / name).read_bytes()
        assert given.findtext(f"{user}/password_sha256_hex") == hashlib.sha256(password).hexdigest()
        assert "::/0" not in [ip.text for ip in users.findall(f"{user}/networks/ip")]
