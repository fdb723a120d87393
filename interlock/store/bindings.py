"""Which secret may go to which host, in which form, for which agents."""

import json
import sqlite3
from collections.abc import Mapping

from interlock.model import Agent, Authority, Binding
from interlock.store.database import Database
from interlock.store.snapshot import Snapshot


class Bindings:
    """The table of bindings, read through a snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshot = Snapshot(database, _load)

    def all(self) -> list[Binding]:
        """Every binding, by secret and host."""
        return [binding for group in self._snapshot.value.values() for binding in group]

    def at(self, authority: Authority) -> tuple[Binding, ...]:
        """Every binding of one destination."""
        return self._snapshot.value.get(authority, ())

    def for_agent(self, agent: Agent, authority: Authority) -> Binding | None:
        """The binding that serves this agent at this destination; one that names it goes first.

        None for a caller that gave no proof of who it is, and for an agent that is cut off:
        neither may ever hold a credential (invariant I6).
        """
        if not agent.identified or agent.cut_off:
            return None
        fitting = [b for b in self.at(authority) if not b.agents or agent.name in b.agents]
        return min(fitting, key=lambda b: (not b.agents, b.secret), default=None)


def bind(connection: sqlite3.Connection, binding: Binding) -> None:
    """Store or replace the binding of one secret at one destination, in the open transaction."""
    connection.execute(
        "insert or replace into bindings values (?, ?, ?, ?, ?, ?)",
        [
            binding.secret,
            binding.authority.host,
            binding.authority.port,
            binding.recipe,
            json.dumps(sorted(binding.agents)),
            binding.service,
        ],
    )


def unbind(connection: sqlite3.Connection, secret: str) -> None:
    """Remove every binding of a secret, in the caller's transaction."""
    connection.execute("delete from bindings where secret = ?", [secret])


def _load(database: Database) -> Mapping[Authority, tuple[Binding, ...]]:
    found: dict[Authority, tuple[Binding, ...]] = {}
    for row in database.rows("select * from bindings order by secret, host, port"):
        authority = Authority(row["host"], row["port"])
        agents = frozenset(json.loads(row["agents"]))
        binding = Binding(row["secret"], authority, row["recipe"], agents, row["service"])
        found[authority] = (*found.get(authority, ()), binding)
    return found
