"""The key that seals what a home keeps: the one that it was made with, or nothing is opened."""

import hashlib
import os
import sqlite3
from pathlib import Path

from broker import KeyFileError, SecretUnavailableError, Vault, master_key
from broker.keyfile import load_key
from broker.vault import MASTER_KEY_VARIABLE
from interlock.errors import SettingsError
from interlock.settings import Settings
from interlock.store import Database, Shelf


class OwnKey:
    """The master key; beside a broker, which has that, a key of the front door's own.

    That one seals planted keys and what signs webhooks, and opens no stored secret.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the key, if there is one yet; raises SettingsError."""
        self._settings = settings
        self._name = "door" if settings.broker else "master"
        self._path = settings.keys / f"{self._name}.key"
        if settings.broker:
            _require_no_master_key(settings.keys)
        given = not settings.broker and MASTER_KEY_VARIABLE in os.environ
        self._where = MASTER_KEY_VARIABLE if given else str(self._path)
        self._key = self._read() if given or self._path.is_symlink() or self._path.exists() else b""

    def settle(self, database: Database) -> bytes:
        """Return the key, made now for a new home; raises SettingsError for any but its own.

        What the database keeps is the key's keyed hash, which tells it again and opens nothing.
        """
        known = self._known(database)
        if known and not self._key:
            raise self._gone()
        key = self._key or self._read()
        self._require(known, key, database)
        if not known:
            said = [f"{self._name}_key", _told(key)]
            database.write(lambda c: c.execute("insert or ignore into meta values (?, ?)", said))
        return key

    def find(self, database: Database) -> bytes:
        """Return the key of a home that has one, changing nothing; raises SettingsError."""
        if not self._key:
            raise self._gone()
        self._require(self._known(database), self._key, database)
        return self._key

    def _require(self, known: str, key: bytes, database: Database) -> None:
        """Raise SettingsError unless this is the key that is `known`, or opens what is sealed."""
        if not known and not self._settings.broker:
            known = "" if database.read(lambda c: _opens(c, key)) else "sealed under another"
        if known and known != _told(key):
            raise SettingsError(
                f"{self._where}: this is not the key that {database.path} was sealed under; "
                "nothing was changed"
            )

    def _gone(self) -> SettingsError:
        return SettingsError(f"{self._path} is gone, and what is sealed here with it: restore it")

    def _known(self, database: Database) -> str:
        row = database.one("select value from meta where key = ?", f"{self._name}_key")
        return str(row[0]) if row else ""

    def _read(self) -> bytes:
        """Read the key, and make its file when it is missing."""
        try:
            if self._settings.broker:
                return load_key(self._path)
            return master_key(self._settings.keys, os.environ)
        except (KeyFileError, ValueError) as e:
            raise SettingsError(str(e)) from e


def _require_no_master_key(keys: Path) -> None:
    kept = keys / "master.key"
    found = [str(kept)] if kept.exists() else []
    if MASTER_KEY_VARIABLE in os.environ:
        found.append(MASTER_KEY_VARIABLE)
    if found:
        raise SettingsError(
            f"{found[0]}: with interlock_broker no master key may be here: "
            "give the broker a home of its own, and the key to it alone"
        )


def _opens(connection: sqlite3.Connection, key: bytes) -> bool:
    """Say whether a key opens what an older version sealed: one of its secrets, if it has any."""
    vault = Vault(Shelf(connection), key)
    names = vault.names()
    return not names or any(_opened(vault, name) for name in names)


def _opened(vault: Vault, name: str) -> bool:
    try:
        vault.look(name)
    except SecretUnavailableError:
        return False
    return True


def _told(key: bytes) -> str:
    return hashlib.blake2b(b"interlock own key", key=key, digest_size=16).hexdigest()
