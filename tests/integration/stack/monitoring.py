"""The checked-in configuration of Prometheus, for this machine and for a test's patience."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.integration.stack.places import Places

SHORTENED = "2s"
"""`for` of the alerts that a test waits for."""


def write_prometheus_config(source: Path, target: Path, places: Places, every: timedelta) -> None:
    """The configuration with places of this machine, scraping and evaluating more often."""
    config = yaml.safe_load(places.translate(source.read_text(), "prometheus"))
    often = f"{every.total_seconds():g}s"
    config.setdefault("global", {}).update(scrape_interval=often, evaluation_interval=often, scrape_timeout=often)
    for job in config["scrape_configs"]:
        job.pop("scrape_interval", None)
        job.pop("scrape_timeout", None)
        names = [name for found in job.pop("dns_sd_configs", []) for name in _looked_up(found)]
        if names:
            addresses = [places.translate(name, "prometheus") for name in names]
            job.setdefault("static_configs", []).append({"targets": addresses})
    target.write_text(yaml.safe_dump(config, sort_keys=False))


def write_rules(source: Path, target: Path, *, shortened: Collection[str]) -> None:
    """The rules, evaluated as often as the configuration says, with some alerts that need not last.

    Raises
    ------
    ValueError
        If there is no alert of that name.
    """
    missing = set(shortened)
    target.mkdir()
    for path in sorted(source.glob("*.yml")):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                if rule.get("alert") in shortened:
                    rule["for"] = SHORTENED
                    missing.discard(rule["alert"])
        (target / path.name).write_text(yaml.safe_dump(rules, sort_keys=False))
    if missing:
        raise ValueError(f"no alert {', '.join(sorted(missing))} in {source}")


def rule_queries(source: Path) -> list[tuple[str, str]]:
    """Name and expression of every rule."""
    found = []
    for path in sorted(source.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += [(str(rule.get("record") or rule["alert"]), str(rule["expr"])) for rule in group["rules"]]
    return found


def _looked_up(found: dict[str, Any]) -> list[str]:
    """Host and port of what is found by DNS: a compose service has as many addresses as containers, here one."""
    with_port: Callable[[str], str] = lambda name: name if ":" in name else f"{name}:{found['port']}"  # noqa: E731
    return [with_port(name.removeprefix("tasks.")) for name in found["names"]]
