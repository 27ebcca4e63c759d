"""Names of what the runs are compared with, and what the report calls it."""

from __future__ import annotations

LIGHTGBM, STUMPS, REGRESSION = "lightgbm-28d", "stumps-28d", "logistic-28d"
BATCH = (LIGHTGBM, STUMPS, REGRESSION)
"""The batch models, which are refitted every 28 days."""
BATCH_NAMES = {LIGHTGBM: "LightGBM", STUMPS: "trees of depth 1", REGRESSION: "logistic regression"}
FLOOR, ORACLE = "floor", "oracle"
RULE, BASE_RATE = "inactivity-rule", "base-rate"
SILENCE = "silence"
"""Longest silent first, which any spreadsheet can do: an order, not risks."""
STORED = "stored"
"""In the comparison of a contest: what a run stored, whoever was its champion."""
PEERS = (*BATCH, FLOOR, ORACLE, RULE, BASE_RATE, SILENCE, STORED)
"""All of them; no run can have one of these names."""

SCORER_NAMES = {
    **{name: f"{text} every 28 days" for name, text in BATCH_NAMES.items()},
    FLOOR: "best of these features",
    ORACLE: "true risks",
    RULE: "rule: inactivity",
    BASE_RATE: "rule: base rate",
    SILENCE: "longest silent first",
    STORED: "the flow: its champions",
}


def named(scorer: str) -> str:
    """What the report calls a scorer."""
    return SCORER_NAMES.get(scorer, scorer)
