"""Which agent or person a name from outside stands for."""

import sqlite3
import time
from collections.abc import Mapping

from interlock.errors import RegistryError
from interlock.federation.identity import OIDC, Identity
from interlock.model import Entity
from interlock.store import Audit, Database, Lookup


class Identities:
    """The bindings of names, kept until anything changes, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._holders = Lookup(database, self._holder)
        self._subjects = Lookup(database, self._has_subject)

    def all(self) -> Mapping[Identity, Entity]:
        """Who stands behind each name."""
        sql = "select kind, name, type, holder from identities order by kind, name"
        return {
            Identity(row[0], row[1]): Entity(row[2], row[3]) for row in self._database.rows(sql)
        }

    def holder(self, identity: Identity) -> Entity | None:
        """Who stands behind a name; None for one that nobody bound."""
        return self._holders.get(identity)

    def has_subject(self, holder: str) -> bool:
        """Say whether the subject of an issuer stands for an agent or person of this name."""
        return self._subjects.get(holder)

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

    def _holder(self, identity: Identity) -> Entity | None:
        sql = "select type, holder from identities where kind = ? and name = ?"
        row = self._database.one(sql, identity.kind, identity.name)
        return Entity(*row) if row else None

    def _has_subject(self, holder: str) -> bool:
        sql = "select 1 from identities where holder = ? and kind = ?"
        return self._database.one(sql, holder, OIDC) is not None


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
