"""The public keys that may sign delegations, and the links that were taken back."""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from nacl.signing import VerifyKey

from interlock.delegation import PublicKey, kid_of, parse_holder
from interlock.errors import RegistryError, StoreError
from interlock.model import Entity
from interlock.store.audit import Audit
from interlock.store.database import Database
from interlock.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str, PublicKey]
    revoked: frozenset[str]


class Delegations:
    """What a chain is verified with, read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """Every key by its kid, the revoked ones too; raises StoreError."""
        return self._known.value.keys

    @property
    def revoked(self) -> frozenset[str]:
        """The ids of the links that were revoked; raises StoreError."""
        return self._known.value.revoked

    def add_key(self, holder: Entity, key: VerifyKey) -> str:
        """Let a key sign for a user or agent, and return its kid.

        Raises RegistryError for a key that is registered, for this holder or another.
        """
        kid = kid_of(key)

        def work(connection: sqlite3.Connection) -> None:
            added = connection.execute(
                "insert or ignore into public_keys values (?, ?, ?, ?, null)",
                [kid, str(holder), bytes(key), time.time()],
            )
            if added.rowcount != 1:
                raise RegistryError(f"key {kid} is registered already")
            self._audit(connection, "key.add", {"kid": kid, "after": {"holder": str(holder)}})

        self._database.write(work)
        return kid

    def revoke_key(self, kid: str, reason: str = "") -> None:
        """End a key and all that it ever signed; raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            ended = connection.execute(
                "update public_keys set revoked_at = ? where kid = ? and revoked_at is null",
                [time.time(), kid],
            )
            if ended.rowcount != 1:
                raise RegistryError(f"there is no key {kid!r} that is not revoked")
            holder = "select holder from public_keys where kid = ?"
            before = {"holder": connection.execute(holder, [kid]).fetchone()[0]}
            change = {"before": before, "after": before | {"revoked": True}, "reason": reason}
            self._audit(connection, "key.revoke", {"kid": kid} | change)

        self._database.write(work)

    def revoke_link(self, link_id: str, reason: str = "") -> None:
        """Take a link back, and with it every chain that it is in; raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            revoked = connection.execute(
                "insert or ignore into revocations values (?, ?, ?)",
                [link_id, time.time(), reason],
            )
            if revoked.rowcount != 1:
                raise RegistryError(f"link {link_id} is revoked already")
            change = {"before": "unrevoked", "after": "revoked", "reason": reason}
            self._audit(connection, "delegation.revoke", {"link": link_id} | change)

        self._database.write(work)


def _load(database: Database) -> _Known:
    keys = {row["kid"]: _public_key(row) for row in database.rows("select * from public_keys")}
    revoked = (row["id"] for row in database.rows("select id from revocations"))
    return _Known(keys, frozenset(revoked))


def _public_key(row: sqlite3.Row) -> PublicKey:
    """A row as a key; raises StoreError for one that we did not write."""
    try:
        holder, key = parse_holder(row["holder"]), VerifyKey(bytes(row["public"]))
    except (ValueError, TypeError) as e:
        raise StoreError(f"key {row['kid']}: the row was changed and cannot be read: {e}") from e
    return PublicKey(holder, key, row["revoked_at"])
