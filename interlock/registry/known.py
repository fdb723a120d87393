"""What every call asks of agents: who they are, and what proves them."""

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from interlock.errors import IdentityError, RegistryError
from interlock.model import Agent
from interlock.registry.agents import agent_in, find_trust
from interlock.registry.keys import digest, well_formed
from interlock.registry.sessions import Session, find_open
from interlock.store import Database, Lookup


@dataclass(frozen=True, slots=True)
class Key:
    """Whose it is, and when it ends or was ended, in epoch seconds."""

    agent: str
    expires_at: float | None
    revoked_at: float | None

    def holds(self, now: float) -> bool:
        """Say whether it proves anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Standing:
    """An agent as it was registered, and whether it has a lease."""

    agent: Agent
    leased: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """A key or an open session, and whose it is."""

    by: Key | Session
    standing: Standing

    @property
    def until(self) -> float:
        """When it ends if nothing changes, in epoch seconds; 0 for what may lapse at any time."""
        if self.standing.leased:
            return 0.0
        return math.inf if self.by.expires_at is None else self.by.expires_at


class Known:
    """Agents by name, proofs by digest, looked up when they are asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # An agent by name; None for a name that nobody has.
        self.find = Lookup(database, self._asking(_find_standing)).get
        self._proofs = Lookup(database, self._asking(_find_proof))

    def require(self, name: str) -> Standing:
        """Answer an agent by name; raises RegistryError for a name that nobody has."""
        if found := self.find(name):
            return found
        raise RegistryError(f"there is no agent named {name!r}")

    def prove(self, key: str, now: float, name: str | None) -> Proof:
        """Answer the proof that a key or the token of a session is.

        Raises IdentityError with the same words whatever is wrong, so that a guesser learns
        nothing. Keys are looked up by digest: the time it takes tells nothing about them.
        """
        found = self._proofs.get(digest(key))
        proven = found and found.by.holds(now) and name in (None, found.by.agent)
        if found is None or not proven or not well_formed(key):
            raise IdentityError(
                "the agent name or key is not valid, or the key has expired",
                _flaw(found.by, now) if found else "unknown key",
                found.by.agent if found else self._spelled(name or ""),
            )
        return found

    def _spelled(self, name: str) -> str:
        """The name, if an agent has it; never kept, so that both answers take the same time."""
        return name if self._asking(find_trust)(name) else ""

    def _asking[K, V](self, find: Callable[[sqlite3.Connection, K], V]) -> Callable[[K], V]:
        """The same question, asked of the store."""
        return lambda key: self._database.read(lambda connection: find(connection, key))


def _find_standing(connection: sqlite3.Connection, name: str) -> Standing | None:
    row = connection.execute(
        "select *, exists (select 1 from leases where agent = name) as leased "
        "from agents where name = ?",
        [name],
    ).fetchone()
    return Standing(agent_in(row), bool(row["leased"])) if row else None


def _find_proof(connection: sqlite3.Connection, hashed: bytes) -> Proof | None:
    row = connection.execute(
        "select agent, expires_at, revoked_at from agent_keys where digest = ?", [hashed]
    ).fetchone()
    found = Key(*row) if row else find_open(connection, hashed)
    # It may have been removed between these looks at the store.
    standing = _find_standing(connection, found.agent) if found else None
    return Proof(found, standing) if found and standing else None


def _flaw(proof: Key | Session, now: float) -> str:
    """Why a proof that is known proves nothing, in words for the ledger."""
    if proof.holds(now):
        return "key of another agent"
    over = proof.expires_at is not None and now >= proof.expires_at
    return "expired key" if over else "revoked key"
