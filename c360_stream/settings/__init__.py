"""Settings: the environment (`C360_*`), then `c360.toml`, then defaults."""

from c360_stream.settings.declaration import Settings
from c360_stream.settings.loading import load_settings

__all__ = ["Settings", "load_settings"]
