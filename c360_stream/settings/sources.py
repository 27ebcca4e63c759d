"""Where settings come from: names in the environment, the configuration file, and files of secrets."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from c360_stream.errors import ConfigurationError

CONFIG_FILE = "c360.toml"
CONFIG_VARIABLE = "C360_CONFIG"
"""Names the configuration file, where it is another one."""
ENV_PREFIX = "C360_"
_SECRET_BYTES_MAX = 65_536


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files: `C360_KAFKA_SASL_PASSWORD_FILE` names one."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The content of the file that the environment names for a secret, without the newlines at its end.

        Raises
        ------
        ConfigurationError
            If the secret is set directly too, or the file cannot be read.
        """
        variable = f"{ENV_PREFIX}{field_name.upper()}"
        place = os.environ.get(f"{variable}_FILE", "")
        if field.annotation is not SecretStr or not place:
            return None, field_name, False
        if os.environ.get(variable):
            raise ConfigurationError(f"both {variable} and {variable}_FILE are set", "set one of them")
        return _read_secret(f"{variable}_FILE", Path(place)), field_name, False

    def __call__(self) -> dict[str, str]:
        """The secrets that are in files."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: secret for name, secret in found.items() if secret is not None}


def _read_secret(variable: str, path: Path) -> str:
    what, hint = f"{variable}: {path}", "fix the file or its permissions"
    try:
        with path.open("rb") as file:
            content = file.read(_SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror}", hint) from None
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what} is not text in UTF-8", hint) from None
    if not secret or len(content) > _SECRET_BYTES_MAX:
        wrong = "is empty" if not secret else f"is larger than {_SECRET_BYTES_MAX} bytes"
        raise ConfigurationError(f"{what} {wrong}", hint)
    return secret
