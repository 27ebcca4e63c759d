"""What the proof replaces is what is there, so that a change of the compose file or the Dockerfile is not met half."""

from __future__ import annotations

from typing import Any

import yaml

from tests.containers.images import dockerfile_base
from tests.containers.stack import STAND_INS
from tests.deploy.compose import COMPOSE_FILE

NOT_PROVEN = {"grafana"}


class Loader(yaml.SafeLoader):
    """Takes compose's tag for a list that replaces the other file's."""


def replacing_list(loader: Loader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


Loader.add_constructor("!override", replacing_list)


def stand_ins() -> dict[str, Any]:
    # A SafeLoader with one tag more.
    services: dict[str, Any] = yaml.load(STAND_INS.read_text(), Loader)["services"]
    return services


def test_every_service_has_an_image_of_the_proof() -> None:
    found = stand_ins()
    assert set(found) == set(yaml.safe_load(COMPOSE_FILE.read_text())["services"])
    for name in set(found) - NOT_PROVEN:
        assert found[name]["image"].startswith("c360-containers/"), name
    for name in NOT_PROVEN:
        assert list(found[name]) == ["profiles"]


def test_published_ports_are_the_compose_files_at_any_free_one() -> None:
    compose, found = yaml.safe_load(COMPOSE_FILE.read_text())["services"], stand_ins()
    for name in set(found) - NOT_PROVEN:
        published = [f"127.0.0.1::{port.rpartition(':')[2]}" for port in compose[name].get("ports", ())]
        assert found[name].get("ports", []) == published


def test_the_image_begins_with_the_stand_in_for_its_base() -> None:
    assert list(stand_ins()["worker"]["build"]["additional_contexts"]) == [dockerfile_base()]
