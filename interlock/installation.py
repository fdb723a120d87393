"""One installation: the rooms over one home and one database, put together in one place."""

import getpass
import os
import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from broker import KeyFileError, Secret, Vault, master_key
from interlock.calls import Catalogue
from interlock.errors import SettingsError
from interlock.ledger import Ledger
from interlock.model import Binding
from interlock.registry import Registry
from interlock.settings import Settings, secure_home
from interlock.store import Bindings, Database, Shelf
from interlock.store.bindings import bind, unbind
from interlock.store.modes import Modes


class Installation:
    """Everything that outlives a process. Opening it creates what is missing."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or StoreError with one line that names the file."""
        self.settings = settings
        secure_home(settings.home)
        try:
            self._master_key = master_key(settings.keys, os.environ)
        except (KeyFileError, ValueError) as e:
            raise SettingsError(str(e)) from e
        self.database = Database(settings.database)
        self.ledger = Ledger(self.database, actor=_actor())
        self.registry = Registry(self.database, self.ledger.admin)
        self.bindings = Bindings(self.database)
        self.modes = Modes(self.database, self.ledger.admin)
        self.catalogue = Catalogue.shipped()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is queued and close the database."""
        self.database.close()

    def secret(self, name: str) -> Secret:
        """Open a stored secret; raises broker.SecretUnavailableError."""
        return self.database.read(lambda connection: self._vault(connection).open(name))

    def secrets(self) -> list[str]:
        """The names of all stored secrets."""
        return self.database.read(lambda connection: self._vault(connection).names())

    def set_secret(self, name: str, secret: Secret, bindings: Sequence[Binding]) -> None:
        """Store a secret with the bindings that replace those it had: all of it, or nothing."""

        def work(connection: sqlite3.Connection) -> None:
            self._vault(connection).seal(name, secret)
            unbind(connection, name)
            for binding in bindings:
                bind(connection, binding)
            after = [f"{b.authority} {b.recipe}" for b in bindings]
            self.ledger.admin(connection, "secret.set", {"secret": name, "after": after})

        self.database.write(work)

    def remove_secret(self, name: str) -> bool:
        """Forget a secret and where it was bound; False when there was none."""

        def work(connection: sqlite3.Connection) -> bool:
            unbind(connection, name)
            removed = self._vault(connection).remove(name)
            if removed:
                self.ledger.admin(connection, "secret.rm", {"secret": name})
            return removed

        return self.database.write(work)

    def _vault(self, connection: sqlite3.Connection) -> Vault:
        return Vault(Shelf(connection), self._master_key)


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
