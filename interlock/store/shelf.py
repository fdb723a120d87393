"""The rows that hold sealed secrets, in the shape that `broker.Vault` asks for."""

import sqlite3
import time


class Shelf:
    """Sealed values by name, on a connection whose transaction belongs to the caller.

    What is inside, only the vault with the master key can tell. `table` is one of ours, with
    the columns of `secrets`.
    """

    def __init__(self, connection: sqlite3.Connection, table: str = "secrets") -> None:
        self._connection = connection
        self._table = table

    def get(self, name: str) -> bytes | None:
        """The sealed value, or None."""
        row = self._connection.execute(
            f"select sealed from {self._table} where name = ?",  # noqa: S608
            [name],
        ).fetchone()
        return bytes(row[0]) if row else None

    def put(self, name: str, sealed: bytes) -> None:
        """Store or replace a sealed value."""
        self._connection.execute(
            f"insert into {self._table} (name, sealed, updated_at) values (?, ?, ?) "  # noqa: S608
            "on conflict (name) do update "
            "set sealed = excluded.sealed, updated_at = excluded.updated_at",
            [name, sealed, time.time()],
        )

    def remove(self, name: str) -> bool:
        """Delete the value; False when there was none."""
        sql = f"delete from {self._table} where name = ?"  # noqa: S608
        return self._connection.execute(sql, [name]).rowcount == 1

    def names(self) -> list[str]:
        """All names, sorted."""
        sql = f"select name from {self._table} order by 1"  # noqa: S608
        return [row[0] for row in self._connection.execute(sql)]
