"""What only one process does at a time, for as long as it says that it still does."""

import sqlite3


def take(connection: sqlite3.Connection, name: str, holder: str, now: float, until: float) -> bool:
    """Take or renew a turn in the caller's transaction; False while another holds it."""
    taken = connection.execute(
        "insert into turns values (:name, :holder, :until) on conflict (name) do update "
        "set holder = :holder, until = :until where holder = :holder or until <= :now",
        {"name": name, "holder": holder, "now": now, "until": until},
    )
    return taken.rowcount == 1


def give_back(connection: sqlite3.Connection, name: str, holder: str) -> None:
    """End a turn before its time; nothing when another holds it."""
    connection.execute("delete from turns where name = ? and holder = ?", [name, holder])
