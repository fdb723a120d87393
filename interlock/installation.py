"""One installation: the rooms over one home and one database, put together in one place."""

import asyncio
import getpass
import os
import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from broker import (
    KeyFileError,
    Mask,
    RecipeError,
    Secret,
    SecretUnavailableError,
    Vault,
    master_key,
    parse_recipe,
)
from interlock.calls import Catalogue
from interlock.errors import SettingsError, StoreError
from interlock.ledger import Ledger
from interlock.model import Authority, Binding
from interlock.registry import Registry
from interlock.settings import Settings, secure_home
from interlock.store import Bindings, Database, Shelf, Snapshot
from interlock.store.approvals import Approvals
from interlock.store.bindings import bind, unbind
from interlock.store.delegations import Delegations
from interlock.store.goals import Goals
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
        self.goals = Goals(self.database, self.ledger.admin)
        self.approvals = Approvals(self.database, self.ledger.admin)
        self.delegations = Delegations(self.database, self.ledger.admin)
        self.modes = Modes(self.database, self.ledger.admin)
        self._masks: Snapshot[dict[Authority, Mask]] = Snapshot(self.database, lambda _: {})
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

    def mask_at(self, authority: Authority) -> Mask:
        """Everything that would reveal a secret that is bound to a destination, in every form.

        Worked out once a destination, until anything changes in the store.
        """
        masks = self._masks.value
        if authority not in masks:
            masks[authority] = Mask(
                value
                for binding in self.bindings.at(authority)
                for value in self._revealing(binding)
            )
        return masks[authority]

    def _revealing(self, binding: Binding) -> tuple[bytes, ...]:
        try:
            return parse_recipe(binding.recipe).forms(self.secret(binding.secret))
        except (SecretUnavailableError, RecipeError):
            return ()

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

    async def rotate_secret(self, name: str, old: Secret, new: Secret) -> None:
        """Store what an exchange put in the place of a secret, unless somebody changed it since.

        Raises SecretUnavailableError when it cannot be stored.
        """

        def work(connection: sqlite3.Connection) -> None:
            if self._vault(connection).open(name) == old:
                self._vault(connection).seal(name, new)
                self.ledger.admin(connection, "secret.rotate", {"secret": name})

        try:
            await asyncio.wrap_future(self.database.submit(work))
        except (sqlite3.Error, StoreError) as e:
            why = f"its new refresh token cannot be stored: {e}"
            raise SecretUnavailableError(name, why) from e

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
