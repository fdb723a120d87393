"""Every secret of an installation: sealed in its database, or fetched from where it is kept."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from functools import partial

from broker import (
    Mask,
    Pointer,
    RecipeError,
    Secret,
    SecretUnavailableError,
    StoreRefusalError,
    Traces,
    Vault,
    parse_recipe,
)
from broker.stores import Cache, Fetched, Flight, Reference, Stores, parse_reference
from interlock.errors import SettingsError
from interlock.model import Authority, Binding
from interlock.store import SECRETS, Database, Lookup, Shelf, Snapshot


class Safe:
    """Opens what is sealed at once, waits for what is fetched, and remembers what it gave out."""

    def __init__(
        self, database: Database, master_key: bytes, cache_s: float, elsewhere: str = ""
    ) -> None:
        """`elsewhere` names the broker that has the secrets, in which case none is here."""
        self._elsewhere = elsewhere
        self._database = database
        self._master_key = master_key
        self._stores = Stores(os.environ)
        self._cache = Cache(cache_s)
        self._traces = Traces()
        # A sealed secret, or where it is kept; raises broker.SecretUnavailableError. Opened once,
        # until anything changes in the store.
        self.look = Lookup(database, self._look, SECRETS).get
        # By binding: what is kept of its secret, and the value that was noted of that.
        self._noted: Snapshot[dict[Binding, tuple[Secret | Pointer, Secret]]] = Snapshot(
            database, lambda _: {}, SECRETS
        )

    def vault(self, connection: sqlite3.Connection) -> Vault:
        """The sealed rows, on a connection whose transaction belongs to the caller.

        Raises SettingsError when a broker has the secrets.
        """
        if self._elsewhere:
            raise SettingsError(
                f"the secrets are kept by the broker at {self._elsewhere}: work on them in its home"
            )
        return Vault(Shelf(connection), self._master_key)

    def open(self, name: str) -> Secret:
        """Return a secret, however long its store takes; raises broker.SecretUnavailableError."""
        kept = self.look(name)
        if isinstance(kept, Secret):
            return kept
        flight = self._ask(name, kept)
        try:
            return flight.future.result(flight.patience)
        except TimeoutError:
            raise _late(name, kept) from None

    async def fetch(
        self, binding: Binding, everywhere: Callable[[str], Iterable[Binding]]
    ) -> Secret:
        """Return the secret of a binding without holding up anything else.

        From then on, answers of every place that the secret is bound to are scrubbed of this
        value; `everywhere` finds its bindings. Raises broker.SecretUnavailableError.
        """
        name, noted = binding.secret, self._noted.value
        kept, known = noted.get(binding) or (self.look(name), None)
        secret = kept if isinstance(kept, Secret) else await self._arrival(name, kept)
        if secret is known:
            return secret
        try:
            parse_recipe(binding.recipe).check(secret)
            for bound in (binding, *everywhere(name)):
                self._note(bound, secret)
            noted[binding] = kept, secret
        except (RecipeError, ValueError) as e:
            raise SecretUnavailableError(name, str(e)) from None
        return secret

    def mask_of(self, bindings: Iterable[Binding]) -> Mask:
        """What reveals the secrets of these bindings that are sealed here."""
        return Mask(value for binding in bindings for value in self._revealing(binding))

    def traces_at(self, authority: Authority) -> Mask:
        """What reveals a value that was in use here: fetched, or replaced a short while ago."""
        return self._traces.at(authority, time.monotonic())

    def close(self) -> None:
        """Give back what stores have lent."""
        self._stores.close()

    def _look(self, name: str) -> Secret | Pointer:
        return self._database.read(lambda connection: self.vault(connection).look(name))

    async def _arrival(self, name: str, kept: Pointer) -> Secret:
        flight = self._ask(name, kept)
        if flight.future.done():
            return flight.future.result()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(flight.future), flight.patience)
        except TimeoutError:
            raise _late(name, kept) from None

    def _ask(self, name: str, kept: Pointer) -> Flight:
        try:
            reference = parse_reference(kept.reference)
        except ValueError as e:
            raise SecretUnavailableError(name, str(e)) from None
        fetch = partial(self._fetch, name, reference)
        return self._cache.ask(name, kept.version, fetch, partial(self._stores.forget, reference))

    def _fetch(self, name: str, reference: Reference) -> Fetched:
        try:
            return self._stores.fetch(reference)
        except StoreRefusalError as e:
            raise SecretUnavailableError(name, f"{reference.store}: {e.why}") from None

    def _note(self, binding: Binding, secret: Secret) -> None:
        source = (binding.secret, binding.recipe)
        reveal = parse_recipe(binding.recipe).forms
        self._traces.note(binding.authority, source, secret, reveal, time.monotonic())

    def _revealing(self, binding: Binding) -> tuple[bytes, ...]:
        try:
            kept = self.look(binding.secret)
            return parse_recipe(binding.recipe).forms(kept) if isinstance(kept, Secret) else ()
        except (SecretUnavailableError, RecipeError):  # neither kind ever leaves
            return ()


def _late(name: str, kept: Pointer) -> SecretUnavailableError:
    store = kept.reference.partition(":")[0]
    return SecretUnavailableError(name, f"{store}: it does not answer in time")
