"""Refused input goes after its days, in every table store, and what was refused before there was such a rule too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from c360_stream.connectors.clickhouse.dead_letter_retention import letter_retention_days, set_letter_retention
from c360_stream.connectors.clickhouse.migrations import Migration, load_migrations
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.settings import Settings
from tests.contracts.rows import columns

FIRST = next(number for number, each in enumerate(load_migrations()) if "expire" in each.name)
BEFORE, AFTER = load_migrations()[:FIRST], load_migrations()[FIRST:]
REFUSED_US = 1_704_067_200_000_000  # in 2024, as in a replay


@pytest.fixture
def upgraded(database: TableStore) -> TableStore:
    """Each implementation with a row from before the rule; of all tables only that one is made anew."""
    for name in ("dead_letters", "letters"):
        database.command(f"DROP TABLE IF EXISTS {name}")
    repeat(database, BEFORE)
    insert(database, 0)
    repeat(database, AFTER)
    return database


def repeat(store: TableStore, migrations: Sequence[Migration]) -> None:
    """Run what they have to do with the table."""
    for migration in migrations:
        for statement in migration.statements:
            if "dead_letters" in statement:
                store.command(statement)


def insert(store: TableStore, offset: int, *, times: int = 1) -> None:
    letter = {"topic": "t", "offset": offset, "refused_at": REFUSED_US, "value": b"rubbish"}
    for _ in range(times):
        store.insert("dead_letters", columns("dead_letters", letter))


def offsets(store: TableStore) -> list[int]:
    return [row["offset"] for row in store.query("SELECT offset FROM dead_letters FINAL ORDER BY offset")]


def insert_old(store: TableStore, offset: int, days: int, message: str = "no JSON") -> None:
    """A row like the one of offset 0, stored so long ago."""
    names = "topic, partition, stage, exception_class, key, value, headers, refused_at"
    store.command(
        f"INSERT INTO dead_letters ({names}, exception_message, offset, stored_at)"
        f" SELECT {names}, {{message:String}}, {{offset:Int64}},"
        " now64(3) - INTERVAL {days:UInt32} DAY FROM dead_letters FINAL WHERE offset = 0",
        {"days": days, "offset": offset, "message": message},
    )


def merge(store: TableStore) -> None:
    store.command("OPTIMIZE TABLE dead_letters FINAL")


def test_a_row_from_before_counts_from_the_upgrade_on(upgraded: TableStore) -> None:
    insert(upgraded, 1)
    stored = [row["stored_at"] for row in upgraded.query("SELECT stored_at FROM dead_letters FINAL ORDER BY offset")]
    assert stored == sorted(stored)
    assert all(abs(datetime.now(UTC) - each) < timedelta(hours=1) for each in stored)
    merge(upgraded)
    assert offsets(upgraded) == [0, 1], "neither is old, though both were refused in 2024"


def test_the_rule_of_the_migration_is_the_settings_default(upgraded: TableStore) -> None:
    assert letter_retention_days(upgraded) == Settings.model_fields["dead_letter_retention_days"].default
    assert not set_letter_retention(upgraded, Settings.model_fields["dead_letter_retention_days"].default)


def test_what_is_older_goes_and_what_is_younger_stays(upgraded: TableStore) -> None:
    insert_old(upgraded, 1, days=31)
    insert_old(upgraded, 2, days=29)
    merge(upgraded)
    assert offsets(upgraded) == [0, 2]


def test_what_verify_has_to_know_stays(upgraded: TableStore) -> None:
    """Which events the flow refused for their time: else a score in whose windows one is could not be rebuilt."""
    insert_old(upgraded, 1, days=400)
    insert_old(upgraded, 2, days=400, message="occurred_at: too far ahead")
    merge(upgraded)
    assert offsets(upgraded) == [0, 2]


def test_the_days_follow_the_setting_and_nothing_goes_without_any(upgraded: TableStore) -> None:
    assert set_letter_retention(upgraded, 0)
    assert (letter_retention_days(upgraded), set_letter_retention(upgraded, 0)) == (0, False)
    insert_old(upgraded, 1, days=2000)
    insert_old(upgraded, 2, days=9)
    merge(upgraded)
    assert offsets(upgraded) == [0, 1, 2]
    assert set_letter_retention(upgraded, 10)
    assert letter_retention_days(upgraded) == 10
    merge(upgraded)
    assert offsets(upgraded) == [0, 2]


def test_a_rule_of_somebody_elses_is_left(upgraded: TableStore) -> None:
    upgraded.command("ALTER TABLE dead_letters MODIFY TTL toDateTime(refused_at) + INTERVAL 100 YEAR")
    assert letter_retention_days(upgraded) is None
    assert not set_letter_retention(upgraded, 10)
    assert letter_retention_days(upgraded) is None


def test_a_table_of_another_kind_is_left_too(upgraded: TableStore) -> None:
    upgraded.command("RENAME TABLE dead_letters TO letters")
    assert letter_retention_days(upgraded) is None, "there is none"
    upgraded.command("CREATE VIEW dead_letters AS SELECT * FROM letters")
    assert letter_retention_days(upgraded) is None
    assert not set_letter_retention(upgraded, 10)


def test_a_letter_that_is_stored_again_is_one_row(upgraded: TableStore) -> None:
    insert(upgraded, 0, times=3)
    assert offsets(upgraded) == [0]
    merge(upgraded)
    assert upgraded.query("SELECT count() AS rows FROM dead_letters") == [{"rows": 1}]
