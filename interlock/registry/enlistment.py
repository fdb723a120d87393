"""Agents that were found enter the registry: without a key, and vouched for by nobody."""

import sqlite3

from interlock.model import Agent, Trust
from interlock.registry.agents import insert_agent
from interlock.registry.profile import Profile, write_profile


def enlist(connection: sqlite3.Connection, agent: Agent, profile: Profile, now: float) -> bool:
    """Register an agent in the caller's transaction; False when it is there already.

    What is known of it is written in any case; who it is, and how far it is trusted, stays as it
    was. Its first key is made by `Registry.rotate_key`. `now` is in epoch seconds.
    """
    added = insert_agent(connection, agent, now)
    write_profile(connection, "agent", agent.name, profile, now)
    return added


def unjudged(connection: sqlite3.Connection, source: str) -> int:
    """How many agents a source has told of that nobody has vouched for or cut off."""
    row = connection.execute(
        "select count(*) from profiles join agents on agents.name = profiles.name "
        "where kind = 'agent' and trust = ? and json_extract(body, '$.source') = ?",
        [Trust.UNVERIFIED, source],
    ).fetchone()
    return int(row[0])
