"""Where to look after the demo: its files, and commands that work when pasted into the shell that ran it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from c360_stream.errors import ConfigurationError
from c360_stream.settings import Settings, load_settings

# Settings of input, tables and features: commands on the demo's results need the demo's values.
_PINNED = ("clickhouse_dsn", "topic_prefix", "input_prefix", "core_actions", "category_prefixes", "dedupe_hours")
# From the newest tick on: an account that has cancelled keeps its last row.
_QUERY = (
    "SELECT account_id, tier, round(risk, 2), round(mrr_at_risk_cents / 100) FROM risk_active"
    " ORDER BY mrr_at_risk_cents DESC LIMIT 5"
)


def commands(settings: Settings, account: str | None) -> Iterator[tuple[str, str]]:
    """Commands to go on with, and what each is for.

    Parameters
    ----------
    settings
        Those of the demo.
    account
        The account whose score to rebuild; None if there is no score.
    """
    where = f"--log-dir {shlex.quote(str(settings.log_dir))}"
    start = " ".join([*_pins(settings), _program()])
    yield "the board", f"{start} top --once {where}"
    if account is not None:
        yield (
            "rebuild a score from the event log and compare it with the stored one",
            f"{start} verify {shlex.quote(account)} {where}",
        )
    script = (
        "import clickhouse_connect as c; "
        f'print(*c.get_client(dsn="{settings.dsn}").query("{_QUERY}").result_rows, sep="\\n")'
    )
    yield "ask the tables in SQL", f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}"


def _program() -> str:
    """How to call `c360` here: it may be in an environment that is not active."""
    if shutil.which("c360"):
        return "c360"
    beside = Path(sys.executable).with_name("c360")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m c360_stream"


def _pins(settings: Settings) -> list[str]:
    """Variables that override the settings of the user's environment and c360.toml."""
    try:
        own = load_settings(log_dir=settings.log_dir)
        differing = [name for name in _PINNED if getattr(own, name) != getattr(settings, name)]
    except ConfigurationError:  # once it is fixed, it may hold anything
        differing = list(_PINNED)
    return [f"C360_{name.upper()}={shlex.quote(_written(settings, name))}" for name in differing]


def _written(settings: Settings, name: str) -> str:
    """A setting as an environment variable has it."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return settings.dsn
    return value if isinstance(value, str) else json.dumps(value)
