"""`env:NAME`: a variable of this process's own environment."""

import re
from collections.abc import Mapping
from typing import ClassVar

from broker.errors import StoreRefusalError
from broker.stores.reference import Reference
from broker.stores.store import Fetched, Store, fetched, secret_or_why


class Environment(Store):
    """Read variables; ours are not for sale, least of all the master key."""

    name: ClassVar = "env"
    form: ClassVar = "env:NAME"
    pattern: ClassVar = re.compile(r"(?P<path>(?!INTERLOCK_)[A-Za-z_][A-Za-z0-9_]*)")
    needs: ClassVar = "the variable, set where the front door is started"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def fetch(self, reference: Reference) -> Fetched:
        if reference.path not in self._environ:
            raise StoreRefusalError(f"the variable {reference.path} is not set here")
        return fetched(secret_or_why(self._environ[reference.path]))

    def forget(self, reference: Reference) -> None:
        """Keep nothing, so forget nothing."""

    def close(self) -> None:
        """Hold nothing."""
