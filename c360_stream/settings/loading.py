"""Reads the settings; what is wrong with one becomes an error of one line."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from c360_stream.errors import ConfigurationError
from c360_stream.settings.declaration import Settings
from c360_stream.settings.sources import CONFIG_FILE, ENV_PREFIX


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (from the command line) win.

    Raises
    ------
    ConfigurationError
        If a value is malformed; the message names the setting and never repeats a secret's value.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if not name:  # several settings do not go together
            raise ConfigurationError(f"settings: {first['msg']}", f"fix C360_* or {CONFIG_FILE}") from None
        raise ConfigurationError(
            f"setting {name}: {first['msg']}", f"set C360_{str(first['loc'][0]).upper()} or fix {CONFIG_FILE}"
        ) from None
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        setting = f"setting {named[1]}: {ENV_PREFIX}{named[1].upper()} is no JSON" if named else str(error)
        raise ConfigurationError(setting, "write lists and tables as JSON in the environment") from None
