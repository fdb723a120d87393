"""Writes many rows in few statements."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import batched, chain
from typing import Any

# So many go into one statement. For each number of them there is one, which is kept prepared.
AT_ONCE = 32


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]]) -> int:
    """Write rows of one width, `into` a table (`insert into events`); return how many were taken.

    A thread lets go of Python's lock several times in each statement, and waits each time until
    it has it again: with a statement for each row, that costs more than the rows.
    """
    taken = 0
    for some in batched(rows, AT_ONCE):
        sql = _statement(into, len(some[0]), len(some))
        taken += connection.execute(sql, [*chain.from_iterable(some)]).rowcount
    return taken


@cache
def _statement(into: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{into} values {','.join([row] * rows)}"
