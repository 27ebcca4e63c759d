"""Encoding: shards by a stable hash, hashes in scopes of their own, order kept, categories by the longest prefix."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from c360_stream.contracts.events import Decoder
from c360_stream.contracts.kinds import InputKind
from c360_stream.features import columns as c
from c360_stream.features.columns import EventColumns
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from tests.unit.features.deliveries import Event, columns
from tests.unit.features.events import at, event


def encoded(topic: InputKind, *events: Event, shards: int = 1) -> list[EventColumns]:
    return [part for part in columns(topic, events, shards) if part is not None]


def used(event_type: str, account: str = "acme", **fields: object) -> Event:
    return event("e", account, at(0), event_type, **fields)


def test_an_accounts_shard_never_changes() -> None:
    """A resumed run, another process and another release must find the account's state where it was left."""
    accounts = ["acme", "bolt", "Ćwikła", "株式会社"]
    found = {
        name: shard
        for shard, part in enumerate(columns("product", [used("page_viewed", name) for name in accounts], 16))
        for name in (part.accounts if part else [])
    }
    assert found == {"acme": 2, "bolt": 14, "Ćwikła": 3, "株式会社": 8}


def test_events_keep_their_order_within_a_shard_and_every_shard_its_accounts() -> None:
    events = [event(f"e{i}", f"a{i % 7}", at(0, i), "page_viewed") for i in range(50)]
    parts = encoded("product", *events, shards=3)
    assert len(parts) == 3
    accounts = [part.accounts for part in parts]
    assert sorted(name for names in accounts for name in names) == [f"a{i}" for i in range(7)]
    for part in parts:
        assert (np.diff(part.time_us) > 0).all()
        hours = ((part.time_us - part.time_us[0]) // 3_600_000_000).tolist()
        first = next(i for i in range(7) if f"a{i}" == part.accounts[part.account[0]])
        assert [part.accounts[i] for i in part.account] == [f"a{(first + hour) % 7}" for hour in hours]


@pytest.mark.parametrize(
    ("event_type", "code"),
    [
        ("page_viewed", 0),
        ("task_created", c.CORE_ACTION),
        ("comment_added", c.CORE_ACTION | c.COMMENT),
        ("invite_sent", c.INVITE),
        ("export_requested", c.EXPORT),
    ],
)
def test_product_codes_are_what_the_event_type_counts_for(event_type: str, code: int) -> None:
    (part,) = encoded("product", used(event_type))
    assert part.code.tolist() == [code]


def category(event_type: str, feature: str | None = None, prefixes: Mapping[str, str] | None = None) -> int:
    (part,) = columns("product", [used(event_type, feature=feature)], prefixes=prefixes)
    assert part is not None
    return int(part.category[0])


def test_categories_come_from_the_event_or_else_from_its_type() -> None:
    assert category("report_built") == category("report_shared") == category("anything", "reports") != 0
    assert category("report_built", "whiteboards") == category("x", "whiteboards") != category("report_built")
    assert category("invite_sent") == category("x", "team_invites")
    assert category("search_run") == category("apis_listed") == 0
    for event_type in ("page_viewed", "session_start", "session_end"):
        assert category(event_type, "reports") == 0


def test_the_longest_prefix_wins() -> None:
    prefixes = {"api_": "api", "api_key_": "security"}
    assert category("api_key_made", prefixes=prefixes) == category("z_", prefixes={"z_": "security"})
    assert category("api_called", prefixes=prefixes) == category("y_", prefixes={"y_": "api"})


def test_things_of_the_same_name_are_not_confused() -> None:
    """A user named like the account, a category or the event is none of them."""
    (part,) = encoded("product", event("same", "same", at(0), "x", user_id="same", feature="same"))
    hashes = {int(part.account_hash[0]), int(part.event[0]), int(part.user[0]), int(part.category[0])}
    assert len(hashes) == 4
    assert 0 not in hashes


def test_a_contact_carries_its_playbook_of_a_bounded_length() -> None:
    """The contract bounds the event, not this field."""
    playbooks = ["check_in", None, "", "株" * 100_000]
    events = [event(f"e{i}", "a", at(0, i), "success_contacted", playbook=name) for i, name in enumerate(playbooks)]
    (part,) = encoded("support", *events, event("e4", "a", at(0, 9), "success_contacted", channel="call"))
    assert part.details == [("e0", "check_in"), ("e1", ""), ("e2", ""), ("e3", "株" * 128), ("e4", "")]


def test_taking_some_events_takes_just_their_accounts() -> None:
    events = [event(f"e{i}", f"a{i % 3}", at(0, i), "csat_submitted", score=i + 1) for i in range(5)]
    (part,) = encoded("support", *events)
    taken = part.take(np.array([4, 1]))
    assert [taken.accounts[i] for i in taken.account] == ["a1", "a1"]
    assert (taken.accounts, taken.details) == (["a1"], [5, 2])
    assert taken.account_hash.tolist() == [part.account_hash[part.accounts.index("a1")]]


def test_parts_of_an_encoder_share_its_accounts_however_many_come_between() -> None:
    encoder = EventEncoder(c.SUPPORT, KnownAccounts(4), (), {})
    names = [f"a{i * i % 7}" for i in range(20)]
    lines = [
        json.dumps(event(f"e{i}", name, at(0), "csat_submitted", score=1)).encode() for i, name in enumerate(names)
    ]
    submitted = [each for block in Decoder("support").decode_blocks(lines) for each in block.events]
    parts = [encoder.encode(submitted[i : i + 5], np.arange(i, i + 5)) for i in range(0, 20, 5)]
    whole = EventColumns.joined(parts)
    assert whole.accounts is parts[0].accounts
    assert [whole.accounts[i] for i in whole.account] == names
    alone = {name: int(whole.take(np.array([names.index(name)])).account_hash[0]) for name in names}
    assert whole.account_hash[whole.account].tolist() == [alone[name] for name in names]
    # With parts that have accounts of their own, too, each event finds its account and its time again in its shard.
    mixed = EventColumns.joined([whole.take(np.arange(3)), whole.keep(np.arange(3, 20))])
    for columns_ in (whole, mixed):
        found = {
            time: (part.accounts[i], int(part.account_hash[i]), detail)
            for part in encoder.split(columns_)
            if part is not None
            for time, i, detail in zip(part.time_us.tolist(), part.account.tolist(), part.details, strict=True)
        }
        assert found == {time: (name, alone[name], 1) for time, name in enumerate(names)}


@pytest.mark.parametrize("name", ["{}", "a{}", "acct{:04}", "account-{:06}", "account-of-a-long-name-{:06}"])
def test_accounts_with_a_user_and_an_event_of_their_own_name_are_not_confused(name: str) -> None:
    """Scoped hashes are compared across accounts: related names must not give the same."""
    names = [name.format(i) for i in range(3_000)]
    events = [event(name, name, at(0), "x", user_id=name, feature=name) for name in names]
    (part,) = encoded("product", *events)
    owner = part.account_hash[part.account]
    for scoped in (part.event ^ owner, part.user ^ owner, part.category ^ owner):
        assert len(set(scoped.tolist())) == len(names)
