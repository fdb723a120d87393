"""The agents: register, prove, vouch for, cut off."""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from interlock.errors import RegistryError
from interlock.model import Agent, Binding, Trust
from interlock.registry.agents import (
    KIND,
    find_trust,
    insert_agent,
    insert_key,
    key_expires_at,
    read_agents,
    remove_agent,
    require_name,
    require_trust,
    revoke_keys,
)
from interlock.registry.keys import new_key
from interlock.registry.known import Known, Standing
from interlock.registry.leases import Lease, hear, insert_lease, lease_of, read_leases
from interlock.registry.profile import (
    Profile,
    Seen,
    names_told_by,
    read_profile,
    read_profiles,
    with_calls,
    write_profile,
)
from interlock.registry.sessions import Session
from interlock.registry.trust import FORGETTABLE, TRANSITIONS, require_move
from interlock.store import AT_ONCE, Audit, Database

# Whether anything that vouches for an agent ended in between by the time that it had.
ENDS = (
    "select 1 from agent_keys where expires_at between ? and ? limit 1",
    "select 1 from sessions where expires_at between ? and ? limit 1",
    "select 1 from leases where renewed_at + seconds between ? and ? limit 1",
)


class Registry:
    """Everything that is known about agents, kept until it changes, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Known(database)

    def prove(self, key: str, now: float, name: str | None = None) -> Agent:
        """Answer the agent whose key this is, and whose name it is too when one is given.

        The token of a session is such a key; the agent then has what the session pins. Raises
        IdentityError with the same words whatever is wrong.
        """
        return self.prove_until(key, now, name)[0]

    def prove_until(self, key: str, now: float, name: str | None = None) -> tuple[Agent, float]:
        """The same, and until when (epoch seconds) it holds if nothing changes; 0 for a moment."""
        proof = self._known.prove(key, now, name)
        agent, by = self._at(proof.standing, now), proof.by
        if isinstance(by, Session):
            agent = replace(agent, session=by.id, pinned=by.pinned)
        return agent, proof.until

    def get(self, name: str, now: float | None = None) -> Agent:
        """Answer an agent by name; raises RegistryError.

        Without `now` it is as it was registered, and its lease is not looked at.
        """
        standing = self._known.require(name)
        return standing.agent if now is None else self._at(standing, now)

    def has(self, name: str) -> bool:
        """Say whether an agent is registered."""
        return self._known.find(name) is not None

    def require_good_standing(self, names: Iterable[str], now: float) -> None:
        """Raise RegistryError when one of these agents is unknown or cut off."""
        for name in names:
            if (agent := self.get(name, now)).cut_off:
                raise RegistryError(f"agent {name!r} is {agent.state}")

    def lease(self, name: str) -> Lease | None:
        """The lease of an agent; None for one that never lapses."""
        return self._database.read(lambda connection: lease_of(connection, name))

    def lapsed_since(self, since: float, now: float) -> bool:
        """Say whether any lease, key or session ended in between by the time that it had."""
        return any(self._database.one(sql, since, now) is not None for sql in ENDS)

    def heartbeat(self, name: str, now: float) -> Lease:
        """Renew the lease of an agent; raises RegistryError for one that has none.

        Only coming back is recorded: thousands of agents that live would bury everything else.
        """

        def work(connection: sqlite3.Connection) -> Lease:
            require_trust(connection, name)
            lease = lease_of(connection, name)
            if lease is None:
                raise RegistryError(f"agent {name!r} has no lease and never lapses")
            hear(connection, self._audit, {name: now})
            return Lease(lease.seconds, now)

        return self._database.write(work)

    def heartbeats(self, beats: Mapping[str, float]) -> None:
        """The same for many agents, heard of at these times, in one transaction.

        A name that is not registered, or has no lease, is passed over.
        """
        self._database.write(lambda connection: hear(connection, self._audit, beats))

    def sweep(self, now: float, keep_s: float) -> list[str]:
        """Forget the agents whose lease ended so long ago; those that were judged stay.

        Some at a time, for decisions wait behind each transaction.
        """

        def work(connection: sqlite3.Connection) -> list[str]:
            over = connection.execute(
                "select name from leases join agents on name = agent "
                "where renewed_at + seconds <= ? and trust = ? limit ?",
                [now - keep_s, FORGETTABLE, AT_ONCE],
            ).fetchall()
            return self.drop(connection, [row["name"] for row in over])

        return [name for some in iter(lambda: self._database.write(work), []) for name in some]

    def drop(self, connection: sqlite3.Connection, names: Iterable[str]) -> list[str]:
        """Forget those of these agents that nobody judged, in the caller's transaction."""
        trusts = {name: find_trust(connection, name) for name in names}
        gone = [name for name, trust in trusts.items() if trust is FORGETTABLE]
        for name in gone:
            remove_agent(connection, self._audit, name)
        return gone

    def _at(self, standing: Standing, now: float) -> Agent:
        """The agent with what its lease says; only those that have one cost a look."""
        agent = standing.agent
        if not standing.leased:
            return agent
        lease = self.lease(agent.name)
        return replace(agent, lapsed=lease is not None and lease.over(now))

    def all(self) -> list[Agent]:
        """Every agent, by name."""
        return self._database.read(read_agents)

    def count(self) -> int:
        """How many agents there are."""
        return int(self._database.one("select count(*) from agents")[0])

    def key_expires_at(self, name: str) -> float | None:
        """When the agent's current key ends, in epoch seconds; None for one that never does."""
        return self._database.read(lambda connection: key_expires_at(connection, name))

    def seen(self, name: str) -> Seen:
        """What is known of an agent beside who it is; little when nobody described it."""
        return self._database.read(lambda c: with_calls(c, name, read_profile(c, KIND, name)))

    def details(self) -> tuple[Mapping[str, Lease], Mapping[str, Seen]]:
        """The leases of all agents and what is known of them, by name, read at once."""

        def work(connection: sqlite3.Connection) -> tuple[dict[str, Lease], dict[str, Seen]]:
            seen = read_profiles(connection, KIND)
            called = {name: with_calls(connection, name, one) for name, one in seen.items()}
            return read_leases(connection), called

        return self._database.read(work)

    def told_by(self, source: str, among: Iterable[str]) -> set[str]:
        """Those of these agents that were last described by a source; raises StoreError."""
        return self._database.read(lambda c: names_told_by(c, KIND, source, among))

    def describe(self, name: str, profile: Profile, now: float) -> list[str]:
        """Replace what is known of an agent, and name the fields that changed.

        That it was seen now is noted, a change is recorded. Raises RegistryError.
        """

        def work(connection: sqlite3.Connection) -> list[str]:
            require_trust(connection, name)
            known = read_profile(connection, KIND, name).profile
            changed = known.changes(profile)
            write_profile(connection, KIND, name, profile, now)
            if changed:
                change = {"before": known.told(changed), "after": profile.told(changed)}
                details = {"agent": name, "source": profile.source, "changed": changed}
                self._audit(connection, "agent.change", details | change)
            return changed

        return self._database.write(work)

    def add(
        self,
        agent: Agent,
        *,
        ttl: float | None = None,
        lease_s: float | None = None,
        profile: Profile | None = None,
    ) -> str:
        """Register an agent and return its first key, which is not stored and not shown again.

        `ttl` is the key's life in seconds, `lease_s` for how many it is good without being heard
        of; None for no end. Raises RegistryError.
        """
        require_name(agent.name)
        key = new_key()

        def work(connection: sqlite3.Connection) -> None:
            if not insert_agent(connection, agent, time.time()):
                raise RegistryError(f"agent {agent.name!r} is registered already")
            insert_key(connection, agent.name, key, ttl)
            after: dict[str, Any] = {
                "owner": agent.owner,
                "groups": list(agent.groups),
                "trust": agent.trust,
            }
            if lease_s is not None:
                insert_lease(connection, agent.name, lease_s, time.time())
                after["lease_s"] = lease_s
            if profile:
                write_profile(connection, KIND, agent.name, profile, time.time())
                after["source"] = profile.source
            self._audit(connection, "agent.add", {"agent": agent.name, "after": after})

        self._database.write(work)
        return key

    def set_trust(self, name: str, trust: Trust, reason: str = "") -> None:
        """Move an agent to another trust state; raises RegistryError for a move that is not one.

        Revoked is final, and nothing becomes unverified again.
        """

        def work(connection: sqlite3.Connection) -> None:
            before = require_trust(connection, name)
            require_move(f"agent {name!r}", before, trust)
            connection.execute("update agents set trust = ? where name = ?", [trust, name])
            details = {"agent": name, "before": before, "after": trust, "reason": reason}
            self._audit(connection, "agent.trust", details)

        self._database.write(work)

    def quarantine(
        self, connection: sqlite3.Connection, name: str, actor: str, reason: str
    ) -> bool:
        """Cut an agent off inside the caller's transaction; False when it is so, or gone, already.

        Raises nothing: what else stands in that transaction is too important to be undone.
        """
        before = find_trust(connection, name)
        if before is None or Trust.QUARANTINED not in TRANSITIONS[before]:
            return False
        connection.execute("update agents set trust = ? where name = ?", [Trust.QUARANTINED, name])
        details = {"before": before, "after": Trust.QUARANTINED, "reason": reason}
        self._audit(connection, "agent.trust", {"agent": name, "actor": actor, **details})
        return True

    def rotate_key(self, name: str, *, ttl: float | None = None) -> str:
        """Revoke every key of the agent, end its sessions, and return a new key, shown once."""
        key = new_key()

        def work(connection: sqlite3.Connection) -> None:
            require_trust(connection, name)
            ended = revoke_keys(connection, name)
            insert_key(connection, name, key, ttl)
            change = {"before": {"keys": ended}, "after": {"keys": 1, "ttl_s": ttl}}
            self._audit(connection, "agent.rotate", {"agent": name} | change)

        self._database.write(work)
        return key

    def remove(self, name: str) -> list[Binding]:
        """Forget an agent and its keys; its ledger rows stay.

        Its name leaves every binding too. Answers the bindings that ended with it, because they
        meant nobody else.
        """
        return self._database.write(lambda connection: remove_agent(connection, self._audit, name))
