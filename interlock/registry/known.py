"""What is known about agents at one moment: who they are, and what proves them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from interlock.errors import IdentityError, RegistryError
from interlock.model import Agent
from interlock.registry.agents import read_agents
from interlock.registry.keys import digest, well_formed
from interlock.registry.sessions import Session, open_sessions
from interlock.store import Database


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
class Known:
    """All agents by name, keys and open sessions by digest, and who has a lease."""

    agents: Mapping[str, Agent]
    keys: Mapping[bytes, Key]
    sessions: Mapping[bytes, Session]
    leased: frozenset[str]

    def agent(self, name: str) -> Agent:
        """Answer an agent by name; raises RegistryError."""
        try:
            return self.agents[name]
        except KeyError:
            raise RegistryError(f"there is no agent named {name!r}") from None

    def prove(self, key: str, now: float, name: str | None) -> tuple[Agent, Session | None]:
        """Answer the agent that a key or the token of a session proves, and that session.

        Raises IdentityError with the same words whatever is wrong, so that a guesser learns
        nothing. Keys are looked up by digest: the time it takes tells nothing about them.
        """
        session = self.sessions.get(digest(key))
        found = session or self.keys.get(digest(key))
        proven = found is not None and found.holds(now) and well_formed(key)
        if found is None or not proven or name not in (None, found.agent):
            meant = found.agent if found else name if name in self.agents else None
            raise IdentityError(
                "the agent name or key is not valid, or the key has expired",
                _flaw(found, now) if found else "unknown key",
                meant or "",
            )
        return self.agents[found.agent], session

    def key_expires_at(self, name: str) -> float | None:
        """When the current key of an agent ends; None for one that never does."""
        mine = (key for key in self.keys.values() if key.agent == name)
        return next((key.expires_at for key in mine if key.revoked_at is None), None)

    def ends_between(self, since: float, now: float) -> bool:
        """Say whether any key or session ended in between by the time that it had."""
        proofs: Iterable[Key | Session] = chain(self.keys.values(), self.sessions.values())
        ends = (proof.expires_at for proof in proofs)
        return any(end is not None and since <= end <= now for end in ends)


def read_known(database: Database) -> Known:
    """Read everything anew."""
    keys = {
        bytes(row["digest"]): Key(row["agent"], row["expires_at"], row["revoked_at"])
        for row in database.rows("select * from agent_keys")
    }
    leased = frozenset(row["agent"] for row in database.rows("select agent from leases"))
    return Known(database.read(read_agents), keys, open_sessions(database), leased)


def _flaw(proof: Key | Session, now: float) -> str:
    """Why a proof that is known proves nothing, in words for the ledger."""
    if proof.holds(now):
        return "key of another agent"
    over = proof.expires_at is not None and now >= proof.expires_at
    return "expired key" if over else "revoked key"
