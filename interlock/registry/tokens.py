"""Tokens for the API: each has a role, is shown once and kept as a digest."""

import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from interlock.errors import IdentityError, RegistryError
from interlock.registry.keys import API_PREFIX, digest, new_key, well_formed
from interlock.store import Audit, Database, Snapshot

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Role(StrEnum):
    """What the holder of a token may do.

    A viewer reads, an operator changes what runs too, an admin also who may. A scanner
    registers servers and agents and nothing else; a service asks `/authorize` for anyone.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    SCANNER = "scanner"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Token:
    """Who holds it and how far it goes; times are epoch seconds, None for no end."""

    name: str
    role: Role
    created_at: float
    expires_at: float | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The token as JSON values."""
        times = {"created_at": self.created_at, "expires_at": self.expires_at}
        return {"name": self.name, "role": str(self.role)} | times


class Tokens:
    """All tokens, read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    def prove(self, text: str, now: float, name: str | None = None) -> Token:
        """Answer the token that this is; raises IdentityError, always with the same words.

        It is looked up by digest: the time that it takes tells nothing about any token.
        """
        found = self._known.value.get(digest(text))
        holds = found is not None and (found.expires_at is None or now < found.expires_at)
        if found is None or not holds or not well_formed(text) or name not in (None, found.name):
            raise IdentityError("the token is not valid, or has expired")
        return found

    def all(self) -> list[Token]:
        """Every token, by name."""
        return sorted(self._known.value.values(), key=lambda token: token.name)

    def get(self, name: str) -> Token:
        """Answer a token by name; raises RegistryError."""
        for token in self._known.value.values():
            if token.name == name:
                return token
        raise RegistryError(f"there is no token named {name!r}")

    def add(self, name: str, role: Role, *, ttl: float | None = None) -> str:
        """Make a token and answer its text, shown this once; raises RegistryError.

        `ttl` is its life in seconds; None for no end.
        """
        if not _NAME.fullmatch(name):
            raise RegistryError(
                f"token name {name[:64]!r}: use letters, digits, '.', '_' and '-', 128 at most"
            )
        text, now = new_key(API_PREFIX), time.time()
        ends = None if ttl is None else now + ttl

        def work(connection: sqlite3.Connection) -> None:
            added = connection.execute(
                "insert or ignore into api_tokens values (?, ?, ?, ?, ?)",
                [name, role, digest(text), now, ends],
            )
            if added.rowcount != 1:
                raise RegistryError(f"there is a token named {name!r} already")
            self._audit(connection, "token.add", {"token": name, "after": _told(role, ends)})

        self._database.write(work)
        return text

    def rotate(self, name: str, *, ttl: float | None = None) -> str:
        """Put a new text in the place of the old one, which ends at once; raises RegistryError."""
        text, now = new_key(API_PREFIX), time.time()
        ends = None if ttl is None else now + ttl

        def work(connection: sqlite3.Connection) -> None:
            before = _require(connection, name)
            connection.execute(
                "update api_tokens set digest = ?, created_at = ?, expires_at = ? where name = ?",
                [digest(text), now, ends, name],
            )
            change = {"before": before, "after": before | {"expires_at": ends}}
            self._audit(connection, "token.rotate", {"token": name} | change)

        self._database.write(work)
        return text

    def remove(self, name: str) -> None:
        """End a token; raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            before = _require(connection, name)
            connection.execute("delete from api_tokens where name = ?", [name])
            self._audit(connection, "token.rm", {"token": name, "before": before})

        self._database.write(work)


def _told(role: str, expires_at: float | None) -> dict[str, Any]:
    return {"role": str(role), "expires_at": expires_at}


def _require(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    """A token as the ledger tells it."""
    row = connection.execute(
        "select role, expires_at from api_tokens where name = ?", [name]
    ).fetchone()
    if row is None:
        raise RegistryError(f"there is no token named {name!r}")
    return _told(row["role"], row["expires_at"])


def _load(database: Database) -> Mapping[bytes, Token]:
    return {
        bytes(row["digest"]): Token(
            row["name"], Role(row["role"]), row["created_at"], row["expires_at"]
        )
        for row in database.rows("select * from api_tokens")
    }
