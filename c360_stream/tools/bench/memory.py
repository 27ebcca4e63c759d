"""Benchmark `memory`: what accounts and active users cost of resident memory, in processes of their own.

Measured: 4.2 kB per account and 70 bytes per user active in 30 days, of which the tables are 44 and the rest is what
the allocator keeps of the batches that it held. 1 million accounts with 20 such users each hold 5.7 GB after 61 days,
with every label's example waiting, and never more than 5.8 GB on the way.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection

import psutil

from c360_stream.errors import C360Error
from c360_stream.features.definitions import FEATURES
from c360_stream.features.windows import KINDS, SLOTS
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.settings import Settings
from c360_stream.tools.bench.filling import Filling, Load
from c360_stream.tools.bench.result import Result, timed
from c360_stream.tools.machine import peak_resident_bytes

USERS, USERS_FEW = 20, 5
_WARM_UP = Load(accounts=50, users=2, seed=0)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a load added to a process's resident memory; all that the process had then, and at most."""

    users: int
    waiting_examples: int
    added_bytes: int
    resident_bytes: int
    peak_bytes: int
    seconds: float


def measure(settings: Settings, accounts: int, seed: int) -> Iterator[Result]:
    """Fill shards and scorers three times: fully, with a quarter of the accounts, with a quarter of the users.

    The differences give the bytes of a user and of an account, without what Python and its libraries hold.
    """
    most = Load(accounts, USERS, seed)
    small, few = replace(most, accounts=-(-accounts // 4)), replace(most, users=USERS_FEW)
    held, held_small, held_few = (_held_apart(settings, load) for load in (most, small, few))
    user = (held.added_bytes - held_few.added_bytes) / ((USERS - USERS_FEW) * accounts)
    whole = (held.added_bytes - held_small.added_bytes) / max(accounts - small.accounts, 1)
    parameters = {
        "accounts": accounts,
        "users_per_account": USERS,
        "active_users": held.users,
        "waiting_examples": held.waiting_examples,
        "days": _days(settings),
        "shards": settings.shards,
        "resident_bytes": held.resident_bytes,
        "peak_bytes": held.peak_bytes,
        "seed": seed,
    }
    detail = {"full": held.seconds, "fewer_accounts": held_small.seconds, "fewer_users": held_few.seconds}
    user_floor, account_floor = 8 + 4 + 4, _account_floor(settings)
    yield Result(
        "memory_user",
        "bytes an active user, half of whom comment",
        user,
        floor=user_floor,
        floor_is="a hash, an account number and a bit a day",
        parameters=parameters,
        detail=detail,
    )
    yield Result(
        "memory_account",
        "bytes an account, without its users",
        whole - USERS * user,
        floor=account_floor,
        floor_is="counts, labels, scores and waiting examples as arrays of just these accounts",
        parameters=parameters,
        detail=detail,
    )
    yield Result(
        "memory",
        f"bytes an account with {USERS} users",
        whole,
        floor=account_floor + USERS * user_floor,
        floor_is="the floors of both",
        parameters=parameters,
        detail=detail,
    )


def _account_floor(settings: Settings) -> float:
    """Bytes of an account's daily counts, label and risk of each as-of, and features now and of its examples."""
    as_ofs = settings.horizon_days + CORRECTION_DAYS + 1
    examples = settings.horizon_days / settings.example_stride_days
    return 4 * len(KINDS) * SLOTS + (1 + 8) * as_ofs + 8 * len(FEATURES) * (examples + 1)


def _days(settings: Settings) -> int:
    """After so many as many examples wait for their label as ever will."""
    return settings.horizon_days + 1


def _held_apart(settings: Settings, load: Load) -> _Held:
    """In a new process: memory that was used and freed before would not be missed.

    Raises
    ------
    C360Error
        If the process ended without a result.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    apart = context.Process(target=_send_held, args=(sender, settings, load), daemon=True)
    try:
        apart.start()
        sender.close()
        held: _Held = receiver.recv()
        return held
    except EOFError:
        raise C360Error("the process that is measured has ended", "try fewer accounts: --tick-accounts") from None
    finally:
        apart.kill()


def _send_held(sender: Connection, settings: Settings, load: Load) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, too, and ends this process
    sender.send(_held(settings, load))


def _held(settings: Settings, load: Load) -> _Held:
    Filling(settings, _WARM_UP).through(3)  # loads libraries, and makes what is made once
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    filling = Filling(settings, load)
    took = timed(filling.through, _days(settings))
    gc.collect()
    now = process.memory_info().rss
    return _Held(
        filling.users(), filling.waiting_examples(), now - before, now, max(now, peak_resident_bytes()), took.wall
    )
