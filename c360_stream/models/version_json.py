"""Model versions from JSON, by their kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURE_VERSION
from c360_stream.models import river_version, trees
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.version import ModelVersion

_BY_KIND: dict[str, Callable[[Any], ModelVersion]] = {
    "additive": AdditiveVersion.from_plain,
    trees.KIND: trees.TreesVersion.from_plain,
    river_version.KIND: river_version.RiverVersion.from_plain,
}


def version_from_json(text: str | bytes) -> ModelVersion:
    """Read what `ModelVersion.to_json` wrote; a text that names no kind is of an additive one.

    Raises
    ------
    StateError
        If it is not a model version of this feature version, or of a kind that this release does not know.
    """
    try:
        value = json.loads(text)
        if value["feature_version"] != FEATURE_VERSION:
            raise StateError(
                f"model version is for feature version {value['feature_version']}, not {FEATURE_VERSION}",
                "run the release that wrote it, or replay the log to learn anew",
            )
        kind = value.get("kind", "additive")
        if kind not in _BY_KIND:
            raise StateError(
                f"model version is of kind {kind!r}, which is unknown here", "run the release that wrote it"
            )
        return _BY_KIND[kind](value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"not a model version: {type(error).__name__} {error}", "take the text that was stored"
        ) from None


PlainVersion = tuple[str, bytes]
"""A version as a snapshot holds it: its JSON, and the model where that is not in it."""


def version_state(version: ModelVersion) -> PlainVersion:
    """Plain data for `version_from_state`."""
    return version.to_json(), version.pickled if isinstance(version, river_version.RiverVersion) else b""


def version_from_state(state: PlainVersion) -> ModelVersion:
    """What `version_state` gave; raises as `version_from_json`."""
    text, pickled = state
    version = version_from_json(text)
    return replace(version, pickled=pickled) if isinstance(version, river_version.RiverVersion) else version


def is_without_model(version: ModelVersion) -> bool:
    """Whether a version cannot score: one of a declared model, read from JSON."""
    return isinstance(version, river_version.RiverVersion) and not version.pickled
