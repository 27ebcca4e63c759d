"""Where things of the compose file are on this machine: ports, folders, hosts."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

# Below the ports that connections are given, above those of well-known services.
FIRST_PORT, END_PORT, BLOCK = 20_000, 32_000, 100
_EVERYWHERE = r"(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::\])?"


class Places:
    """Free loopback ports in place of a service's own, and folders in place of those in its container.

    Ports of a service that differ by one do so here, too: a cluster's process N adds N.

    Parameters
    ----------
    services
        Their names, which are hosts in a compose network.
    folders
        Absolute path in a container -> folder here.
    """

    def __init__(self, services: Iterable[str], folders: Mapping[str, Path]) -> None:
        self._bases = dict(zip(names := sorted(services), _free_blocks(len(names)), strict=True))
        self._elsewhere: dict[tuple[str, int], str] = {}
        self._folders = dict(sorted(folders.items(), key=lambda item: -len(item[0])))

    def put(self, service: str, port: int, address: str) -> None:
        """Say where a port of a service is that was not given here."""
        self._elsewhere[service, port] = address

    def port(self, service: str, port: int) -> int:
        """Where a port of a service is."""
        return self._bases[service] + port % BLOCK

    def address(self, service: str, port: int) -> str:
        """Host and port of it."""
        return self._elsewhere.get((service, port), f"127.0.0.1:{self.port(service, port)}")

    def translate(self, text: str, service: str) -> str:
        """What a setting of a service means here.

        Replaced are other services' addresses, its own ones, in the forms `:9092`, `0.0.0.0:9092` and
        `localhost:9092`, and paths.
        """
        names = "|".join(re.escape(name) for name in self._bases)
        places = rf"(?<![\w.\]-])(?:(?P<service>{names})|{_EVERYWHERE}):(?P<port>\d{{4,5}})\b"
        text = re.sub(places, lambda found: self.address(found["service"] or service, int(found["port"])), text)
        for path, folder in self._folders.items():
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?=$|[/\s\"',;:])", str(folder), text)
        return text


def _free_blocks(number: int) -> list[int]:
    """First ports of blocks at which nobody listens; they differ from other test processes' by chance."""
    found: list[int] = []
    while len(found) < number:
        base = FIRST_PORT + secrets.randbelow((END_PORT - FIRST_PORT) // BLOCK) * BLOCK
        if base not in found and _is_free(base):
            found.append(base)
    return found


def _is_free(base: int) -> bool:
    with ExitStack() as stack:
        try:
            for port in range(base, base + BLOCK):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
