"""The agents: register, prove, vouch for, cut off."""

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from interlock.errors import IdentityError, RegistryError
from interlock.model import UNIDENTIFIED, Agent, Binding, Trust
from interlock.registry.keys import digest, new_key, well_formed
from interlock.registry.leases import Lease, insert_lease, lapsed_among, lease_of, renew
from interlock.registry.profile import (
    Profile,
    Seen,
    forget,
    names_told_by,
    read_profile,
    touch,
    write_profile,
)
from interlock.registry.sessions import Session, end_all, forget_sessions, open_sessions
from interlock.registry.trust import FORGETTABLE, TRANSITIONS, require_move
from interlock.store import Audit, Database, Snapshot
from interlock.store.bindings import release
from interlock.store.minted import forget_agent

KIND = "agent"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class _Key:
    agent: str
    expires_at: float | None
    revoked_at: float | None

    def holds(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class _Known:
    agents: Mapping[str, Agent]
    keys: Mapping[bytes, _Key]
    sessions: Mapping[bytes, Session]
    leased: frozenset[str]


class Registry:
    """Everything that is known about agents, read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    def prove(self, key: str, now: float, name: str | None = None) -> Agent:
        """Answer the agent whose key this is, and whose name it is too when one is given.

        The token of a session is such a key; the agent then has what the session pins. Raises
        IdentityError with the same words whatever is wrong, so that a guesser learns nothing.
        Keys are looked up by digest: the time it takes tells nothing about them.
        """
        known = self._known.value
        session = known.sessions.get(digest(key))
        found = session or known.keys.get(digest(key))
        proven = found is not None and found.holds(now) and well_formed(key)
        if found is None or not proven or name not in (None, found.agent):
            meant = found.agent if found else name if name in known.agents else None
            raise IdentityError(
                "the agent name or key is not valid, or the key has expired",
                _flaw(found, now) if found else "unknown key",
                meant or "",
            )
        agent = self._at(known.agents[found.agent], now)
        return replace(agent, session=session.id, pinned=session.pinned) if session else agent

    def get(self, name: str, now: float | None = None) -> Agent:
        """Answer an agent by name; raises RegistryError.

        Without `now` it is as it was registered, and its lease is not looked at.
        """
        try:
            agent = self._known.value.agents[name]
        except KeyError:
            raise RegistryError(f"there is no agent named {name!r}") from None
        return agent if now is None else self._at(agent, now)

    def has(self, name: str) -> bool:
        """Say whether an agent is registered."""
        return name in self._known.value.agents

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
        known = self._known.value
        keys = (key.expires_at for key in known.keys.values())
        sessions = (session.expires_at for session in known.sessions.values())
        if any(end is not None and since <= end <= now for end in chain(keys, sessions)):
            return True
        sql = "select 1 from leases where renewed_at + seconds between ? and ? limit 1"
        return bool(known.leased) and self._database.one(sql, since, now) is not None

    def heartbeat(self, name: str, now: float) -> Lease:
        """Renew the lease of an agent; raises RegistryError for one that has none.

        Only coming back is recorded: thousands of agents that live would bury everything else.
        """

        def work(connection: sqlite3.Connection) -> Lease:
            self._trust_of(connection, name)
            lease = lease_of(connection, name)
            if lease is None:
                raise RegistryError(f"agent {name!r} has no lease and never lapses")
            self._hear(connection, {name: now})
            return Lease(lease.seconds, now)

        return self._database.write(work)

    def heartbeats(self, beats: Mapping[str, float]) -> None:
        """The same for many agents, heard of at these times, in one transaction.

        A name that is not registered, or has no lease, is passed over.
        """
        self._database.write(lambda connection: self._hear(connection, beats))

    def sweep(self, now: float, keep_s: float) -> list[str]:
        """Forget the agents whose lease ended so long ago; those that were judged stay."""

        def work(connection: sqlite3.Connection) -> list[str]:
            over = connection.execute(
                "select agent from leases where renewed_at + seconds <= ?", [now - keep_s]
            ).fetchall()
            return self.drop(connection, [row["agent"] for row in over])

        return self._database.write(work)

    def drop(self, connection: sqlite3.Connection, names: Iterable[str]) -> list[str]:
        """Forget those of these agents that nobody judged, in the caller's transaction."""
        trusts = {name: _find_trust(connection, name) for name in names}
        gone = [name for name, trust in trusts.items() if trust in FORGETTABLE]
        for name in gone:
            self._remove(connection, name)
        return gone

    def _hear(self, connection: sqlite3.Connection, beats: Mapping[str, float]) -> None:
        for name, lease in lapsed_among(connection, beats):
            self._audit(connection, "agent.back", {"agent": name, "lapsed_at": lease.ends_at})
        renew(connection, beats)
        touch(connection, KIND, beats)

    def _at(self, agent: Agent, now: float) -> Agent:
        """The agent with what its lease says; only those that have one cost a look."""
        if agent.name not in self._known.value.leased:
            return agent
        lease = self.lease(agent.name)
        return replace(agent, lapsed=lease is not None and lease.over(now))

    def all(self) -> list[Agent]:
        """Every agent, by name."""
        return sorted(self._known.value.agents.values(), key=lambda agent: agent.name)

    def key_expires_at(self, name: str) -> float | None:
        """When the agent's current key ends, in epoch seconds; None for one that never does."""
        keys = self._known.value.keys.values()
        current = (key for key in keys if key.agent == name and key.revoked_at is None)
        return next((key.expires_at for key in current), None)

    def seen(self, name: str) -> Seen:
        """What is known of an agent beside who it is; little when nobody described it."""
        return self._database.read(lambda connection: read_profile(connection, KIND, name))

    def told_by(self, source: str) -> set[str]:
        """The names of the agents that were last described by a source; raises StoreError."""
        return self._database.read(lambda connection: names_told_by(connection, KIND, source))

    def describe(self, name: str, profile: Profile, now: float) -> list[str]:
        """Replace what is known of an agent, and name the fields that changed.

        That it was seen now is noted, a change is recorded. Raises RegistryError.
        """

        def work(connection: sqlite3.Connection) -> list[str]:
            self._trust_of(connection, name)
            known = read_profile(connection, KIND, name).profile
            changed = known.changes(profile)
            write_profile(connection, KIND, name, profile, now)
            if changed:
                change = {"before": _said(known, changed), "after": _said(profile, changed)}
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
            added = connection.execute(
                "insert or ignore into agents values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    agent.name,
                    agent.owner,
                    json.dumps(list(agent.groups)),
                    agent.trust,
                    agent.intent,
                    agent.intent_category,
                    agent.goal,
                    time.time(),
                ],
            )
            if added.rowcount != 1:
                raise RegistryError(f"agent {agent.name!r} is registered already")
            _insert_key(connection, agent.name, key, ttl)
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
            before = self._trust_of(connection, name)
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
        before = _find_trust(connection, name)
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
            self._trust_of(connection, name)
            ended = connection.execute(
                "update agent_keys set revoked_at = ? where agent = ? and revoked_at is null",
                [time.time(), name],
            )
            end_all(connection, name, time.time())
            _insert_key(connection, name, key, ttl)
            change = {"before": {"keys": ended.rowcount}, "after": {"keys": 1, "ttl_s": ttl}}
            self._audit(connection, "agent.rotate", {"agent": name} | change)

        self._database.write(work)
        return key

    def remove(self, name: str) -> list[Binding]:
        """Forget an agent and its keys; its ledger rows stay.

        Its name leaves every binding too. Answers the bindings that ended with it, because they
        meant nobody else.
        """
        return self._database.write(lambda connection: self._remove(connection, name))

    def _remove(self, connection: sqlite3.Connection, name: str) -> list[Binding]:
        before = self._trust_of(connection, name)
        forget_sessions(connection, name)
        forget(connection, KIND, name)
        connection.execute("delete from leases where agent = ?", [name])
        connection.execute("delete from agent_keys where agent = ?", [name])
        connection.execute("delete from agents where name = ?", [name])
        ended = release(connection, name)
        forget_agent(connection, name)
        unbound = {"unbound": list(map(str, ended))} if ended else {}
        details = {"agent": name, "before": {"trust": before}} | unbound
        self._audit(connection, "agent.rm", details)
        return ended

    def _trust_of(self, connection: sqlite3.Connection, name: str) -> Trust:
        trust = _find_trust(connection, name)
        if trust is None:
            raise RegistryError(f"there is no agent named {name!r}")
        return trust


def _find_trust(connection: sqlite3.Connection, name: str) -> Trust | None:
    row = connection.execute("select trust from agents where name = ?", [name]).fetchone()
    return Trust(row["trust"]) if row else None


def require_name(name: str) -> None:
    """Raise RegistryError for what no agent can be called."""
    if not _NAME.fullmatch(name) or name == UNIDENTIFIED.name:
        raise RegistryError(
            f"agent name {name[:64]!r}: use letters, digits, '.', '_' and '-', "
            f"128 at most, and not {UNIDENTIFIED.name!r}"
        )


def _flaw(key: _Key | Session, now: float) -> str:
    """Why a key that is known proves nothing, in words for the ledger."""
    if key.holds(now):
        return "key of another agent"
    return "expired key" if key.expires_at is not None and now >= key.expires_at else "revoked key"


def _said(profile: Profile, fields: Iterable[str]) -> dict[str, str]:
    """What a profile says in these fields, as the ledger tells it: no lists, which may be long."""
    record = profile.record
    return {field: record[field] for field in fields if isinstance(record[field], str)}


def _insert_key(connection: sqlite3.Connection, agent: str, key: str, ttl: float | None) -> None:
    now = time.time()
    expires_at = None if ttl is None else now + ttl
    connection.execute(
        "insert into agent_keys values (?, ?, ?, ?, null)", [digest(key), agent, now, expires_at]
    )


def _load(database: Database) -> _Known:
    agents = {row["name"]: _agent(row) for row in database.rows("select * from agents")}
    keys = {
        bytes(row["digest"]): _Key(row["agent"], row["expires_at"], row["revoked_at"])
        for row in database.rows("select * from agent_keys")
    }
    leased = frozenset(row["agent"] for row in database.rows("select agent from leases"))
    return _Known(agents, keys, open_sessions(database), leased)


def _agent(row: sqlite3.Row) -> Agent:
    return Agent(
        name=row["name"],
        owner=row["owner"],
        groups=tuple(json.loads(row["groups"])),
        trust=Trust(row["trust"]),
        intent=row["intent"],
        intent_category=row["intent_category"],
        goal=row["goal"],
    )
