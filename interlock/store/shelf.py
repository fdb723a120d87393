"""The rows that hold sealed secrets, in the shape that `broker.Vault` asks for."""

import sqlite3
import time


class Shelf:
    """Sealed values by name, on a connection whose transaction belongs to the caller.

    What is inside, only the vault with the master key can tell.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> bytes | None:
        """The sealed value, or None."""
        row = self._connection.execute(
            "select sealed from secrets where name = ?", [name]
        ).fetchone()
        return bytes(row[0]) if row else None

    def put(self, name: str, sealed: bytes) -> None:
        """Store or replace a sealed value."""
        self._connection.execute(
            "insert into secrets values (?, ?, ?) on conflict (name) do update "
            "set sealed = excluded.sealed, updated_at = excluded.updated_at",
            [name, sealed, time.time()],
        )

    def remove(self, name: str) -> bool:
        """Delete the value; False when there was none."""
        return self._connection.execute("delete from secrets where name = ?", [name]).rowcount == 1

    def names(self) -> list[str]:
        """All names, sorted."""
        return [row[0] for row in self._connection.execute("select name from secrets order by 1")]
