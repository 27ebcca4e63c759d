"""What each subcommand of c360 does."""

from __future__ import annotations

from c360_stream.logs.lines import printable as printable

PEERS_VARIABLE = "C360_PEERS"
"""Set in the processes of a cluster: the addresses of all of them."""
