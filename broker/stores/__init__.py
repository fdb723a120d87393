"""Secret stores: one a file, all behind one protocol; a reference says which, and where in it."""

import threading
from collections.abc import Mapping

from broker.errors import StoreRefusalError
from broker.stores.aws import AwsSecretsManager
from broker.stores.cache import DEADLINE_S, Cache, Flight
from broker.stores.command import Command
from broker.stores.environment import Environment
from broker.stores.openbao import OpenBao
from broker.stores.os_keyring import OsKeyring
from broker.stores.reference import LONGEST, Reference
from broker.stores.store import Fetched, Store

__all__ = [
    "DEADLINE_S",
    "STORES",
    "Cache",
    "Fetched",
    "Flight",
    "Reference",
    "Store",
    "Stores",
    "parse_reference",
]

STORES: tuple[type[Store], ...] = (Environment, OsKeyring, OpenBao, AwsSecretsManager, Command)
_BY_NAME = {store.name: store for store in STORES} | {"vault": OpenBao}


class Stores:
    """Every store, each opened when it is first needed; safe to share between threads."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._open: dict[str, Store] = {}

    def fetch(self, reference: Reference) -> Fetched:
        """Return the present value; raises StoreRefusalError and nothing else."""
        try:
            return self._store(reference).fetch(reference)
        except StoreRefusalError:
            raise
        except Exception as e:  # noqa: BLE001 - a library raises what it likes, and may quote
            why = f"it broke: {type(e).__name__}"
        raise StoreRefusalError(why)

    def forget(self, reference: Reference) -> None:
        """Let the next fetch bring a new value."""
        self._store(reference).forget(reference)

    def close(self) -> None:
        """Give back what was lent."""
        with self._lock:
            stores, self._open = list(self._open.values()), {}
        for store in stores:
            store.close()

    def _store(self, reference: Reference) -> Store:
        with self._lock:
            if reference.store not in self._open:
                self._open[reference.store] = _BY_NAME[reference.store](self._environ)
            return self._open[reference.store]


def parse_reference(text: str) -> Reference:
    """Read a reference such as `openbao:secret/data/openai#api_key`; raises ValueError."""
    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"use one line of printable text, {LONGEST} characters at most")
    name, _, rest = text.partition(":")
    kind = _BY_NAME.get(name)
    if kind is None:
        known = "; ".join(store.form for store in STORES)
        raise ValueError(f"{name[:40]!r} is no secret store, known are: {known}")
    found = kind.pattern.fullmatch(rest)
    if not found:
        raise ValueError(f"{text[:80]!r} does not read {kind.form}")
    parts = found.groupdict()
    return Reference(text, kind.name, parts["path"], parts.get("field") or "")
