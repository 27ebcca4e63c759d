"""Model versions from JSON, by their kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURE_VERSION
from c360_stream.models import trees
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.version import ModelVersion

_BY_KIND: dict[str, Callable[[Any], ModelVersion]] = {
    "additive": AdditiveVersion.from_plain,
    trees.KIND: trees.TreesVersion.from_plain,
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
