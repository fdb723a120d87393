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


def secret_or_why(value: object) -> Secret | str:
    """Make a Secret of what a store gave, or say why it cannot be one.

    It does not raise: a traceback would have frames that hold the value.
    """
    try:
        return Secret(value) if isinstance(value, str | bytes) else "what is kept there is not text"
    except ValueError as e:
        return str(e)


def field_or_why(fields: Mapping[str, object], name: str) -> Secret | str:
    """Make a Secret of one field, or say why that cannot be, naming no other field."""
    return secret_or_why(fields[name]) if name in fields else f"there is no field {name!r}"


def fetched(found: Secret | str, seconds: float = math.inf) -> Fetched:
    """Answer a secret, or raise StoreRefusalError with what there is instead."""
    if isinstance(found, str):
        raise StoreRefusalError(found)
    return Fetched(found, seconds)


def hush(*names: str) -> None:
    """Keep libraries from logging what they send and get, whatever level the root logger has."""
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
