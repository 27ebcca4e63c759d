"""The kinds of input: each has a topic, a contract and an encoding of its own."""

from __future__ import annotations

from typing import Literal, get_args

InputKind = Literal["product", "billing", "support"]
INPUT_KINDS: tuple[InputKind, ...] = get_args(InputKind)
"""In the order that numbers them in batches, snapshots and draws: never to change."""
