"""Agents as they are stored; each function works in its caller's transaction."""

import json
import re
import sqlite3
import time
from functools import lru_cache

from interlock.errors import RegistryError
from interlock.model import UNIDENTIFIED, Agent, Binding, Trust
from interlock.registry.keys import digest
from interlock.registry.profile import forget
from interlock.registry.sessions import end_all, forget_sessions
from interlock.store import Audit
from interlock.store.bindings import release
from interlock.store.minted import forget_agent

KIND = "agent"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def require_name(name: str) -> None:
    """Raise RegistryError for what no agent can be called."""
    if not _NAME.fullmatch(name) or name == UNIDENTIFIED.name:
        raise RegistryError(
            f"agent name {name[:64]!r}: use letters, digits, '.', '_' and '-', "
            f"128 at most, and not {UNIDENTIFIED.name!r}"
        )


def insert_agent(connection: sqlite3.Connection, agent: Agent, now: float) -> bool:
    """Register an agent; False when there is one of that name already."""
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
            now,
        ],
    )
    return added.rowcount == 1


def insert_key(connection: sqlite3.Connection, agent: str, key: str, ttl: float | None) -> None:
    """Let a key prove an agent, for `ttl` seconds or for good."""
    now = time.time()
    expires_at = None if ttl is None else now + ttl
    connection.execute(
        "insert into agent_keys values (?, ?, ?, ?, null)", [digest(key), agent, now, expires_at]
    )


def key_expires_at(connection: sqlite3.Connection, agent: str) -> float | None:
    """When the current key of an agent ends; None for one that never does."""
    row = connection.execute(
        "select expires_at from agent_keys where agent = ? and revoked_at is null", [agent]
    ).fetchone()
    return row["expires_at"] if row else None


def revoke_keys(connection: sqlite3.Connection, agent: str) -> int:
    """End every key of an agent, and its sessions; answer how many keys that were."""
    ended = connection.execute(
        "update agent_keys set revoked_at = ? where agent = ? and revoked_at is null",
        [time.time(), agent],
    )
    end_all(connection, agent, time.time())
    return ended.rowcount


def find_trust(connection: sqlite3.Connection, name: str) -> Trust | None:
    """How far an agent is trusted; None when there is none of that name."""
    row = connection.execute("select trust from agents where name = ?", [name]).fetchone()
    return Trust(row["trust"]) if row else None


def require_trust(connection: sqlite3.Connection, name: str) -> Trust:
    """How far an agent is trusted; raises RegistryError when there is none of that name."""
    trust = find_trust(connection, name)
    if trust is None:
        raise RegistryError(f"there is no agent named {name!r}")
    return trust


def remove_agent(connection: sqlite3.Connection, audit: Audit, name: str) -> list[Binding]:
    """Forget an agent and its keys; answer the bindings that meant nobody else.

    Raises RegistryError.
    """
    before = require_trust(connection, name)
    forget_sessions(connection, name)
    forget(connection, KIND, name)
    connection.execute("delete from leases where agent = ?", [name])
    connection.execute("delete from agent_keys where agent = ?", [name])
    connection.execute("delete from agents where name = ?", [name])
    ended = release(connection, name)
    forget_agent(connection, name)
    unbound = {"unbound": list(map(str, ended))} if ended else {}
    audit(connection, "agent.rm", {"agent": name, "before": {"trust": before}} | unbound)
    return ended


def read_agents(connection: sqlite3.Connection) -> list[Agent]:
    """Every agent, by name."""
    return [agent_in(row) for row in connection.execute("select * from agents order by name")]


def agent_in(row: sqlite3.Row) -> Agent:
    """The agent of a row of `agents`, as it was registered."""
    return Agent(
        name=row["name"],
        owner=row["owner"],
        groups=_groups(row["groups"]),
        trust=Trust(row["trust"]),
        intent=row["intent"],
        intent_category=row["intent_category"],
        goal=row["goal"],
    )


@lru_cache(maxsize=1024)  # thousands of agents share a few sets of groups
def _groups(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
