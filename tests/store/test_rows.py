"""Rows that go together into few statements are all there, and those that were not taken show."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from interlock.store.rows import AT_ONCE, insert

IGNORING = "insert or ignore into found"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("create table found (name text primary key, number integer)")
        yield connection


@pytest.mark.parametrize("many", [0, 1, 2, AT_ONCE, AT_ONCE + 1, 5 * AT_ONCE])
def test_every_row_is_written_in_its_order(connection: sqlite3.Connection, many: int) -> None:
    """Whether they fill a statement, or several, or none."""
    rows = [(f"row {number:03}", number) for number in range(many)]
    assert insert(connection, "insert into found", rows) == many
    assert connection.execute("select * from found order by rowid").fetchall() == rows


def test_what_was_not_taken_is_not_counted(connection: sqlite3.Connection) -> None:
    """The second of its name, in whichever statement it stands."""
    rows = [(f"row {number}", number) for number in range(2 * AT_ONCE)]
    assert insert(connection, IGNORING, [*rows, rows[0]]) == len(rows)
    assert insert(connection, IGNORING, [("new", 1), *rows]) == 1


def test_few_statements_are_made(connection: sqlite3.Connection) -> None:
    """One for as many rows as fit."""
    made: list[str] = []
    connection.set_trace_callback(made.append)
    insert(connection, "insert into found", [(str(number), 0) for number in range(2 * AT_ONCE)])
    assert len(made) == 2
