"""Which agent or person a name from outside stands for."""

import sqlite3
import time
from collections.abc import Mapping

from interlock.errors import RegistryError
from interlock.federation.identity import Identity
from interlock.model import Entity
from interlock.store import Audit, Database, Snapshot


class Identities:
    """The bindings of names, read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    def all(self) -> Mapping[Identity, Entity]:
        """Who stands behind each name."""
        return self._known.value

    def holder(self, identity: Identity) -> Entity | None:
        """Who stands behind a name; None for one that nobody bound."""
        return self._known.value.get(identity)

    def add(self, identity: Identity, holder: Entity) -> None:
        """Let a name stand for an agent or a person; raises RegistryError when it does already."""

        def work(connection: sqlite3.Connection) -> None:
            if not bind(connection, self._audit, identity, holder):
                raise RegistryError(f"{identity} is bound already")

        self._database.write(work)

    def remove(self, identity: Identity) -> None:
        """End a binding, and with it every connection that rests on it; raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "delete from identities where kind = ? and name = ? returning type, holder",
                [identity.kind, identity.name],
            ).fetchone()
            if row is None:
                raise RegistryError(f"{identity} is not bound")
            before = str(Entity(row["type"], row["holder"]))
            details = {"identity": str(identity), "before": {"holder": before}}
            self._audit(connection, "identity.rm", details)

        self._database.write(work)


def bind(connection: sqlite3.Connection, audit: Audit, identity: Identity, holder: Entity) -> bool:
    """Bind a name in the caller's transaction; False when it is bound already.

    Raises RegistryError for an agent that is not there.
    """
    known = "select 1 from agents where name = ?"
    if holder.type == "Agent" and not connection.execute(known, [holder.id]).fetchone():
        raise RegistryError(f"there is no agent named {holder.id!r}")
    added = connection.execute(
        "insert or ignore into identities values (?, ?, ?, ?, ?)",
        [identity.kind, identity.name, holder.type, holder.id, time.time()],
    )
    if added.rowcount == 1:
        after = {"holder": str(holder)}
        audit(connection, "identity.add", {"identity": str(identity), "after": after})
    return added.rowcount == 1


def _load(database: Database) -> Mapping[Identity, Entity]:
    rows = database.rows("select kind, name, type, holder from identities order by kind, name")
    return {Identity(row[0], row[1]): Entity(row[2], row[3]) for row in rows}
