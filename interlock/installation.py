"""One installation: the rooms over one home and one database, put together in one place."""

import asyncio
import getpass
import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Self

from broker import (
    Keyring,
    Mask,
    Pointer,
    Secret,
    SecretUnavailableError,
    Vault,
)
from broker.stores import Reference, parse_reference
from interlock.alerts.honeytokens import Honeytokens
from interlock.alerts.outbox import tell
from interlock.alerts.webhooks import Webhooks
from interlock.calls import Catalogue
from interlock.delegation import Chain, verify
from interlock.errors import GoalError, StoreError
from interlock.federation import Federation
from interlock.ledger import Ledger, Notary, Trail
from interlock.minting.minting import Minting
from interlock.model import Authority, Binding, Declaration
from interlock.own_key import OwnKey
from interlock.registry import Addresses, Pins, Registry, Servers, Sessions, Tokens
from interlock.registry.sessions import Session
from interlock.safe import Safe
from interlock.settings import Settings, secure_home
from interlock.store import SECRETS, Bindings, Database, Lookup
from interlock.store.approvals import Approvals
from interlock.store.bindings import bind, check_distinct, unbind, unbind_all
from interlock.store.delegations import Delegations
from interlock.store.goals import Goals
from interlock.store.modes import Modes


class Installation:
    """Everything that outlives a process. Opening it creates what is missing."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or StoreError with one line that names the file."""
        self.settings = settings
        secure_home(settings.home)
        own_key = OwnKey(settings)
        self.database = Database(settings.database)
        try:
            key = own_key.settle(self.database)
        except BaseException:
            self.database.close()
            raise
        self.safe = Safe(self.database, key, settings.secret_cache, elsewhere=settings.broker)
        self.ledger = Ledger(self.database, actor=_actor(), tell=tell)
        self.notary = Notary(
            self.ledger,
            Trail(settings.checkpoints),
            lambda: Keyring.open(settings.keys, "checkpoint"),
        )
        self.registry = Registry(self.database, self.ledger.admin)
        self.servers = Servers(self.database, self.ledger.admin)
        self.sessions = Sessions(self.database, self.ledger.admin)
        self.tokens = Tokens(self.database, self.ledger.admin)
        self.pins = Pins(self.database, self.ledger.admin)
        self.addresses = Addresses(self.database, self.registry)
        self.federation = Federation(
            self.database,
            self.ledger.admin,
            self.registry,
            settings.client_ca,
            settings.client_crl,
        )
        self.bindings = Bindings(self.database)
        self.goals = Goals(self.database, self.ledger.admin)
        self.approvals = Approvals(self.database, self.ledger.admin)
        self.delegations = Delegations(self.database, self.ledger.admin)
        self.modes = Modes(self.database, self.ledger.admin)
        self.honeytokens = Honeytokens(self.database, self.ledger.admin, key)
        self.webhooks = Webhooks(self.database, self.ledger.admin, key)
        self.minting = Minting(self.database, self.ledger.admin, key)
        self._masks = Lookup(self.database, self._mask_at, SECRETS)
        self.catalogue = Catalogue.shipped()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what secret stores have lent, write what is queued, close the database."""
        self.safe.close()
        self.database.close()

    def start_session(
        self, agent: str, pinned: Declaration, *, ttl: float, now: float
    ) -> tuple[Session, str]:
        """Start a session of `ttl` seconds, and answer it with its token, shown this once.

        Raises RegistryError, GoalError or DelegationError for what could not let a call through.
        """
        self.registry.require_good_standing([agent], now)
        if pinned.goal and self.goals.get(pinned.goal) is None:
            raise GoalError(f"there is no goal {pinned.goal!r}")
        if pinned.delegation:
            self.verify_delegation(agent, pinned.delegation, now)
        return self.sessions.start(agent, pinned, ttl=ttl, now=now)

    def verify_delegation(self, agent: str, chain: str, now: float) -> Chain:
        """The chain that lets an agent act now; raises DelegationError or RegistryError."""
        known = self.delegations
        found = verify(chain, known.keys, known.revoked, agent=agent, now=now)
        actors = (actor.id for actor in found.actors if actor.type == "Agent")
        self.registry.require_good_standing(actors, now)
        return found

    def secret(self, name: str) -> Secret:
        """Open a secret, waiting for its store if need be; raises SecretUnavailableError."""
        return self.safe.open(name)

    def origin(self, name: str) -> str:
        """The reference of a secret that is kept elsewhere; empty for any other."""
        try:
            kept = self.safe.look(name)
        except SecretUnavailableError:
            return ""
        return kept.reference if isinstance(kept, Pointer) else ""

    def fetch(self, binding: Binding) -> Awaitable[Secret]:
        """Open the secret of a binding without blocking; raises SecretUnavailableError."""
        return self.safe.fetch(binding, self.bindings.of)

    def mask_at(self, authority: Authority) -> Mask:
        """Everything that would reveal a secret that is bound to a destination, in every form.

        For sealed secrets worked out once a destination, until anything changes in the store;
        beside them, every value that was in use here.
        """
        return self._masks.get(authority) | self.safe.traces_at(authority)

    def _mask_at(self, authority: Authority) -> Mask:
        return self.safe.mask_of(self.bindings.at(authority))

    def secrets(self) -> list[str]:
        """The names of all stored secrets."""
        return self.database.read(lambda connection: self.safe.vault(connection).names())

    def set_secret(
        self, name: str, secret: Secret | Reference, bindings: Sequence[Binding]
    ) -> None:
        """Store a secret with the bindings that replace those it had: all of it, or nothing.

        Raises BindingError when a call could then fit it and another secret equally well, and
        AlertError for a value that is planted as a honeytoken.
        """
        if isinstance(secret, Secret):
            self.honeytokens.require_none(name, secret)

        def work(connection: sqlite3.Connection) -> None:
            origin = _origin_of(self.safe.vault(connection), name)
            self._put(connection, name, secret)
            before = unbind(connection, name)
            for binding in bindings:
                bind(connection, binding)
            check_distinct(connection, bindings)
            change = {"before": _told(before) | origin, "after": _told(bindings) | _origin(secret)}
            self.ledger.admin(connection, "secret.set", {"secret": name, **change})

        self.database.write(work)

    async def replace_secret(self, name: str, old: Secret, new: Secret) -> None:
        """Store what an exchange put in the place of a secret, unless somebody changed it since.

        Raises SecretUnavailableError when it cannot be stored.
        """

        def work(connection: sqlite3.Connection) -> None:
            if self.safe.vault(connection).open(name) == old:
                self.safe.vault(connection).seal(name, new)
                # Another value of the same secret: all that there is to tell is the same.
                self.ledger.admin(connection, "secret.rotate", _rotated(name, {}, {}))

        try:
            await asyncio.wrap_future(self.database.submit(work))
        except (sqlite3.Error, StoreError) as e:
            why = f"its new refresh token cannot be stored: {e}"
            raise SecretUnavailableError(name, why) from e

    def remove_secret(self, name: str) -> bool:
        """Forget a secret and where it was bound; False when there was none."""

        def work(connection: sqlite3.Connection) -> bool:
            origin = _origin_of(self.safe.vault(connection), name)
            before = _told(unbind(connection, name)) | origin
            removed = self.safe.vault(connection).remove(name)
            if removed:
                self.ledger.admin(connection, "secret.rm", {"secret": name, "before": before})
            return removed

        return self.database.write(work)

    def rotate_secret(self, name: str, secret: Secret | None = None) -> None:
        """Put a new value in place, or have a reference fetched anew; bindings stay.

        Every running front door notices at its next call. Raises SecretUnavailableError.
        """

        def work(connection: sqlite3.Connection) -> None:
            kept = self.safe.vault(connection).look(name)
            new = secret or (parse_reference(kept.reference) if isinstance(kept, Pointer) else None)
            if new is None or isinstance(kept, Pointer) != isinstance(new, Reference):
                raise SecretUnavailableError(name, "it is kept elsewhere now: try again")
            before = _origin_of(self.safe.vault(connection), name)
            self._put(connection, name, new)
            self.ledger.admin(connection, "secret.rotate", _rotated(name, before, _origin(new)))

        self.database.write(work)

    def mirror(self, bindings: Sequence[Binding]) -> None:
        """Put the bindings of a broker in the place of those here; raises StoreError."""
        if list(bindings) == self.bindings.all():
            return

        def work(connection: sqlite3.Connection) -> None:
            before = unbind_all(connection)
            for binding in bindings:
                bind(connection, binding)
            change = {"before": _listed(before), "after": _listed(bindings)}
            self.ledger.admin(connection, "broker.bindings", change)

        self.database.write(work)

    def _put(self, connection: sqlite3.Connection, name: str, secret: Secret | Reference) -> None:
        vault = self.safe.vault(connection)
        if isinstance(secret, Reference):
            vault.point(name, secret.text)
        else:
            vault.seal(name, secret)


def _told(bindings: Sequence[Binding]) -> dict[str, Any]:
    """Where a secret may go, as the ledger tells it."""
    return {"bindings": [f"{b} {b.recipe}" for b in bindings]}


def _listed(bindings: Sequence[Binding]) -> list[str]:
    return [f"{binding.secret} {binding} {binding.recipe}" for binding in bindings]


def _rotated(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """Another value, as the ledger tells it: where it was and is kept, if elsewhere."""
    return {"secret": name, "before": before, "after": after}


def _origin(secret: Secret | Reference) -> dict[str, str]:
    return {"from": secret.text} if isinstance(secret, Reference) else {}


def _origin_of(vault: Vault, name: str) -> dict[str, str]:
    """Where the value that is stored now is kept, if elsewhere."""
    try:
        kept = vault.look(name)
    except SecretUnavailableError:
        return {}
    return {"from": kept.reference} if isinstance(kept, Pointer) else {}


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
