"""What a secret store is: it gives the value of a reference, or says why not."""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from broker.errors import StoreRefusalError
from broker.secret import Secret
from broker.stores.reference import Reference

TIME_LIMIT_S = 5.0  # for one request to a store, or one run of a command


@dataclass(frozen=True, slots=True)
class Fetched:
    """A secret, and for how many seconds from now its store lends it; for ever by default."""

    secret: Secret
    seconds: float = math.inf


class Store(Protocol):
    """Fetch secrets by reference; safe to share between threads, free to block."""

    name: ClassVar[str]  # what a reference begins with
    form: ClassVar[str]  # how people write one
    pattern: ClassVar[re.Pattern[str]]  # what follows the colon: groups `path` and maybe `field`
    needs: ClassVar[str]  # what has to be installed or set, for the documentation

    def __init__(self, environ: Mapping[str, str]) -> None: ...

    def fetch(self, reference: Reference) -> Fetched:
        """Return the present value; raises StoreRefusalError, which never quotes a value."""

    def forget(self, reference: Reference) -> None:
        """Let go of what is kept for a reference: the next fetch has to bring a new value."""

    def close(self) -> None:
        """Give back what was lent."""


def secret_from(value: object) -> Secret:
    """Make a Secret of what a store gave; raises StoreRefusalError from a frame without it."""
    try:
        if isinstance(value, str | bytes):
            return Secret(value)
        why = "what is kept there is not text"
    except ValueError as e:
        why = str(e)
    del value
    raise StoreRefusalError(why)


def field_from(fields: Mapping[str, object], name: str) -> Secret:
    """Make a Secret of one field; raises StoreRefusalError, naming no other field."""
    if name in fields:
        return secret_from(fields[name])
    del fields
    raise StoreRefusalError(f"there is no field {name!r}")


def hush(*names: str) -> None:
    """Keep libraries from logging what they send and get, whatever level the root logger has."""
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
