"""The planted keys: sealed like secrets, kept apart from them, and never bound to anything."""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from broker import Secret, SecretUnavailableError, Vault
from broker.detector import Detector
from interlock.errors import AlertError
from interlock.registry.keys import digest
from interlock.store import Audit, Database, Shelf, Snapshot

log = logging.getLogger(__name__)

TABLE = "honeytokens"
# Each costs every request a search, of some 0.6 ms per MiB.
MOST = 64
# Shorter, a value would be found where nobody planted it; longer, no key is.
SHORTEST, LONGEST = 16, 512
# There is nothing more to tell of one than whether it is watched for.
WATCHED = {"before": None, "after": "watched"}
UNWATCHED = {"before": "watched", "after": None}


@dataclass(frozen=True, slots=True)
class Planted:
    """A planted key, without its value. `planted_at` is in epoch seconds."""

    name: str
    planted_at: float


class Honeytokens:
    """Plants keys that nobody has a reason to use, and knows them again."""

    def __init__(self, database: Database, audit: Audit, master_key: bytes) -> None:
        self._database = database
        self._audit = audit
        self._master_key = master_key
        self._detector = Snapshot(database, self._load)

    @property
    def detector(self) -> Detector:
        """What finds them; false when none is planted. Raises StoreError."""
        return self._detector.value

    def plant(self, name: str, secret: Secret) -> None:
        """Store a planted key under a new name; raises AlertError."""
        value = secret.reveal()
        if not SHORTEST <= len(value) <= LONGEST or b" " in value:
            raise AlertError(
                f"honeytoken {name}: a planted value has {SHORTEST} to {LONGEST} bytes, no blanks"
            )

        def work(connection: sqlite3.Connection) -> None:
            vault = self._vault(connection)
            names = vault.names()
            if _label(name) in names:
                raise AlertError(f"honeytoken {name!r} is planted already: remove it first")
            if len(names) >= MOST:
                raise AlertError(f"there are {MOST} honeytokens already, which is the limit")
            self._require_unused(connection, name, secret)
            vault.seal(_label(name), secret)
            self._audit(connection, "honeytoken.add", {"honeytoken": name} | WATCHED)

        self._database.write(work)

    def remove(self, name: str) -> None:
        """Forget a planted key; raises AlertError when there is none of that name."""

        def work(connection: sqlite3.Connection) -> None:
            if not self._vault(connection).remove(_label(name)):
                raise AlertError(f"there is no honeytoken named {name!r}")
            self._audit(connection, "honeytoken.rm", {"honeytoken": name} | UNWATCHED)

        self._database.write(work)

    def require_none(self, name: str, secret: Secret) -> None:
        """Raise AlertError when a secret that is about to be stored holds a planted key."""
        if found := self.detector.find([secret.reveal()]):
            raise AlertError(f"secret {name}: its value is planted as honeytoken {found!r}")

    def _require_unused(self, connection: sqlite3.Connection, name: str, secret: Secret) -> None:
        """Raise AlertError for the value of a stored secret or of an agent's key.

        Planted, it would cut off whoever uses it rightly.
        """
        key = digest(secret.reveal().decode(errors="replace"))
        if connection.execute("select 1 from agent_keys where digest = ?", [key]).fetchone():
            raise AlertError(f"honeytoken {name}: the value is an agent's own key")
        detector = Detector({name: secret})
        secrets = Vault(Shelf(connection), self._master_key)
        for other in secrets.names():
            if detector.find(_value(secrets, other)):
                raise AlertError(f"honeytoken {name}: the value is that of secret {other!r}")

    def _load(self, database: Database) -> Detector:
        return Detector(database.read(self._open))

    def _open(self, connection: sqlite3.Connection) -> dict[str, Secret]:
        vault = self._vault(connection)
        return {
            label.removeprefix(_PREFIX): secret
            for label in vault.names()
            for secret in _opened(vault, label)
        }

    def _vault(self, connection: sqlite3.Connection) -> Vault:
        return Vault(Shelf(connection, TABLE), self._master_key)


def planted(database: Database) -> list[Planted]:
    """Every planted key by name, for those who only look; raises StoreError."""
    rows = database.rows("select name, updated_at from honeytokens order by name")
    return [Planted(row["name"].removeprefix(_PREFIX), row["updated_at"]) for row in rows]


# No secret can have such a name, so that a row put among the secrets does not open there.
_PREFIX = "honeytoken:"


def _label(name: str) -> str:
    return _PREFIX + name


def _opened(vault: Vault, label: str) -> Sequence[Secret]:
    """The value, or nothing when it does not open; the others must still be found."""
    try:
        return [vault.open(label)]
    except SecretUnavailableError as e:
        log.error("a honeytoken cannot be watched for: %s", e)
        return []


def _value(vault: Vault, name: str) -> Sequence[bytes]:
    try:
        return [vault.open(name).reveal()]
    except SecretUnavailableError:
        return []
