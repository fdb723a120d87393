"""One installation: the rooms over one home and one database, put together in one place."""

import getpass
import os
import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from broker import (
    KeyFileError,
    Keyring,
    Mask,
    Secret,
    SecretUnavailableError,
    Vault,
    master_key,
    parse_recipe,
)
from interlock.alerts.honeytokens import Honeytokens
from interlock.alerts.outbox import tell
from interlock.alerts.webhooks import Webhooks
from interlock.calls import Catalogue
from interlock.errors import SettingsError
from interlock.ledger import Ledger, Notary, Trail
from interlock.model import Authority, Binding
from interlock.registry import Registry
from interlock.settings import Settings, secure_home
from interlock.store import Bindings, Database, Shelf, Snapshot
from interlock.store.approvals import Approvals
from interlock.store.bindings import bind, check_distinct, unbind
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
        self.ledger = Ledger(self.database, actor=_actor(), tell=tell)
        self.notary = Notary(
            self.ledger,
            Trail(settings.checkpoints),
            lambda: Keyring.open(settings.keys, "checkpoint"),
        )
        self.registry = Registry(self.database, self.ledger.admin)
        self.bindings = Bindings(self.database)
        self.goals = Goals(self.database, self.ledger.admin)
        self.approvals = Approvals(self.database, self.ledger.admin)
        self.delegations = Delegations(self.database, self.ledger.admin)
        self.modes = Modes(self.database, self.ledger.admin)
        self.honeytokens = Honeytokens(self.database, self.ledger.admin, self._master_key)
        self.webhooks = Webhooks(self.database, self.ledger.admin, self._master_key)
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
        except SecretUnavailableError:
            return ()

    def secrets(self) -> list[str]:
        """The names of all stored secrets."""
        return self.database.read(lambda connection: self._vault(connection).names())

    def set_secret(self, name: str, secret: Secret, bindings: Sequence[Binding]) -> None:
        """Store a secret with the bindings that replace those it had: all of it, or nothing.

        Raises BindingError when a call could then fit it and another secret equally well, and
        AlertError for a value that is planted as a honeytoken.
        """
        self.honeytokens.require_none(name, secret)

        def work(connection: sqlite3.Connection) -> None:
            self._vault(connection).seal(name, secret)
            unbind(connection, name)
            for binding in bindings:
                bind(connection, binding)
            check_distinct(connection)
            after = [f"{b} {b.recipe}" for b in bindings]
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
