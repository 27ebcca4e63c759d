"""The grants of deploy/clickhouse/users.d: as text, and enforced by the real engine."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.deploy.compose import ROOT

USERS_FILE = ROOT / "deploy" / "clickhouse" / "users.d" / "c360.xml"
_GRANT = re.compile(r"GRANT (?P<rights>.+) ON c360\.(?P<table>\*|\w+)", re.DOTALL)


def grants_of(user: str) -> dict[str, set[str]]:
    """Rights by table, `*` for all of the database; rights on columns as `SELECT(column)`."""
    found: dict[str, set[str]] = {}
    for query in ET.parse(USERS_FILE).getroot().findall(f"users/{user}/grants/query"):
        grant = _GRANT.fullmatch(" ".join((query.text or "").split()))
        assert grant is not None, query.text
        right, _, columns = grant["rights"].rstrip(")").partition("(")
        rights = [f"{right}({column})" for column in columns.split(", ")] if columns else right.split(", ")
        assert not found.setdefault(grant["table"], set()) & set(rights), "granted twice"
        found[grant["table"]] |= set(rights)
    return found


def write_users(user: str, folder: Path) -> Path:
    """Write for `ClickHouseFront` what lets everybody do what `user` is granted, and no more; return the file."""
    (grants,) = ET.parse(USERS_FILE).getroot().findall(f"users/{user}/grants")
    config = ET.fromstring(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"
        "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></clickhouse>"
    )
    (own,) = config.findall("users/default")
    own.append(grants)
    file = folder / user / "config.xml"
    file.parent.mkdir()
    ET.ElementTree(config).write(file)
    return file
