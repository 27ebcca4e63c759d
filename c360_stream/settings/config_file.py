"""The configuration file: settings by their names, and lists of declarations, from one file and those it includes."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from c360_stream.errors import ConfigurationError
from c360_stream.models.names import (
    MAKE_PATTERN,
    MODELS,
    NAME_LENGTH_MAX,
    NAME_PATTERN,
    RESERVED_NAMES,
    RETRAINED,
    ModelDeclaration,
)
from c360_stream.settings.sources import CONFIG_FILE, CONFIG_VARIABLE

MODEL = "model"
DECLARED_MODELS = "declared_models"
"""The setting that holds the `[[model]]` entries; it has no name of its own in file or environment."""
INCLUDE = "include"
_MODEL_KEYS = ("name", "make")


@dataclass
class Config:
    """What the files hold.

    Parameters
    ----------
    files
        Those that were read, the first one first.
    values
        Settings by name; those of a file win over those that it includes.
    models
        Declared models, in the order of the files.
    """

    files: list[Path] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    models: list[ModelDeclaration] = field(default_factory=list)


def config_path() -> Path:
    """The file that `C360_CONFIG` names, or `c360.toml` where the program runs."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE)


def read_config() -> Config:
    """Read the configuration file and what it includes; empty where there is none, unless `C360_CONFIG` names it.

    Raises
    ------
    ConfigurationError
        If a file cannot be read, or a declaration is wrong: it names file, entry and key.
    """
    config, path = Config(), config_path()
    if path.is_file() or os.environ.get(CONFIG_VARIABLE):
        _read(path, config, included=False)
    first: dict[str, str] = {}
    for each in config.models:
        if each.name in first:
            raise ConfigurationError(
                f"{each.folder}: two [[model]] entries are named {each.name}", "give each a name of its own"
            )
        first[each.name] = each.make
    return config


def _read(path: Path, config: Config, *, included: bool) -> None:
    content = _content(path)
    config.files.append(path)
    includes = content.pop(INCLUDE, [])
    if not isinstance(includes, list) or not all(isinstance(each, str) for each in includes):
        raise ConfigurationError(f"{path}: key {INCLUDE}: not a list of file names", 'write include = ["more.toml"]')
    if includes and included:
        raise ConfigurationError(
            f"{path}: key {INCLUDE}: an included file cannot include others", f"name them in {config.files[0]}"
        )
    config.models += _models(path, content.pop(MODEL, []))
    config.values = content | config.values
    for each in includes:
        _read(path.parent / each, config, included=True)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise broken_file(path, error) from None


def broken_file(path: Path, error: Exception) -> ConfigurationError:
    """What to raise when a configuration file cannot be read."""
    what = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigurationError(f"{path.name} in {path.absolute().parent}: {what}", "fix or remove the file")


def _models(path: Path, entries: object) -> list[ModelDeclaration]:
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ConfigurationError(f"{path}: key {MODEL}: not a list of tables", "begin each entry with [[model]]")
    return [_model(path, number, entry) for number, entry in enumerate(entries, 1)]


def _model(path: Path, number: int, entry: dict[str, Any]) -> ModelDeclaration:
    name = entry.get("name")
    where = f"{path}: [[model]] {name if isinstance(name, str) else number}"
    for key in entry:
        if key not in _MODEL_KEYS:
            raise ConfigurationError(f"{where}: key {key}: unknown", _meant(key, _MODEL_KEYS))
    for key in _MODEL_KEYS:
        if not isinstance(entry.get(key), str):
            wrong = "is missing" if key not in entry else "is no text"
            raise ConfigurationError(f"{where}: key {key}: {wrong}", f'write {key} = "..."')
    if not re.fullmatch(NAME_PATTERN, entry["name"]) or len(entry["name"]) > NAME_LENGTH_MAX:
        raise ConfigurationError(
            f"{where}: key name: {entry['name']!r} is not lower-case words joined by - or _",
            f"take a name such as my-forest, of {NAME_LENGTH_MAX} characters at most",
        )
    if entry["name"] in (*MODELS, *RESERVED_NAMES) or entry["name"].endswith(RETRAINED):
        raise ConfigurationError(f"{where}: key name: a model of c360 has this name", "take another one")
    if not re.fullmatch(MAKE_PATTERN, entry["make"]):
        raise ConfigurationError(
            f"{where}: key make: {entry['make']!r} is not package.module:function", "name the function that makes it"
        )
    return ModelDeclaration(entry["name"], entry["make"], str(path.absolute().parent))


def _meant(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


class ConfigFile(PydanticBaseSettingsSource):
    """The configuration file as a source of settings."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        config = read_config()
        self._values = config.values | {DECLARED_MODELS: tuple(config.models)}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """What the file has for a setting."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All settings of the file."""
        return {name: self._values[name] for name in self.settings_cls.model_fields if name in self._values}
