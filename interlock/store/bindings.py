"""Which secret may go to which host, in which form, for which calls."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from interlock.model import Agent, Authority, Binding, Call
from interlock.pattern import host_fits, is_pattern, tail_of
from interlock.store.database import Database
from interlock.store.distinct import require_distinct
from interlock.store.fit import choose
from interlock.store.names import names_in
from interlock.store.snapshot import SECRETS, Lookup

_LISTS = ("agents", "groups", "goals", "methods", "paths")
# As the index of patterns says it, or it is not used (https://sqlite.org/partialindex.html).
PATTERN = "instr(host, '*') > 0"


class Bindings:
    """The table of bindings; those of a destination are kept until anything changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Every binding of one destination: first those of its host, then those of patterns.
        self.at = Lookup(database, self._look, SECRETS).get

    def all(self) -> list[Binding]:
        """Every binding, by secret and host."""
        return self._database.read(_rows)

    def of(self, secret: str) -> list[Binding]:
        """Every binding of a secret, by host."""
        return self._database.read(lambda connection: _rows(connection, "secret = ?", secret))

    def _look(self, authority: Authority) -> tuple[Binding, ...]:
        return self._database.read(lambda connection: _meaning(connection, authority))

    def choose(self, agent: Agent, call: Call, goal: str) -> Binding | None:
        """The binding that serves a call; `goal` is open for this agent and action, or empty.

        None for a caller that gave no proof of who it is, and for an agent that is cut off:
        neither may ever hold a credential (invariant I6). Raises BindingError when two secrets
        fit equally well.
        """
        if not agent.identified or agent.cut_off:
            return None
        return choose(self.at(call.request.authority), agent, call, goal)


def bind(connection: sqlite3.Connection, binding: Binding) -> None:
    """Store or replace the binding of one secret at one destination, in the open transaction."""
    lists = {name: json.dumps(sorted(getattr(binding, name))) for name in _LISTS}
    connection.execute(
        "insert or replace into bindings "
        "(secret, host, port, recipe, service, agents, groups, goals, methods, paths) values "
        "(:secret, :host, :port, :recipe, :service, :agents, :groups, :goals, :methods, :paths)",
        {
            "secret": binding.secret,
            "host": binding.authority.host,
            "port": binding.authority.port,
            "recipe": binding.recipe,
            "service": binding.service,
        }
        | lists,
    )


def unbind(connection: sqlite3.Connection, secret: str) -> list[Binding]:
    """Remove every binding of a secret, in the caller's transaction, and return them."""
    removed = _rows(connection, "secret = ?", secret)
    connection.execute("delete from bindings where secret = ?", [secret])
    return removed


def unbind_all(connection: sqlite3.Connection) -> list[Binding]:
    """Remove every binding, in the caller's transaction, and return them."""
    removed = _rows(connection)
    connection.execute("delete from bindings")
    return removed


def check_distinct(connection: sqlite3.Connection, bindings: Iterable[Binding]) -> None:
    """Raise BindingError when these, or one of them and another, could fit one call.

    What the caller's transaction stored is looked at.
    """
    for place in {binding.authority for binding in bindings}:
        require_distinct(_near(connection, place))


def release(connection: sqlite3.Connection, agent: str) -> list[Binding]:
    """Take an agent's name out of every binding, in the caller's transaction.

    A binding that meant this agent alone ends: it must not become everyone's, nor pass to the
    next agent of that name. Answers the bindings that ended.
    """
    ended = []
    for binding in _rows(connection, "instr(agents, ?)", json.dumps(agent)):
        if agent not in binding.agents:
            continue
        left = replace(binding, agents=binding.agents - {agent})
        if left.agents or left.groups:
            bind(connection, left)
            continue
        connection.execute(
            "delete from bindings where secret = ? and host = ? and port = ?",
            [binding.secret, binding.authority.host, binding.authority.port],
        )
        ended.append(binding)
    return ended


def _meaning(connection: sqlite3.Connection, place: Authority) -> tuple[Binding, ...]:
    """The bindings that mean a destination, exact ones first."""
    exact = _rows(connection, "host = ? and port = ?", place.host, place.port)
    # In SQL a `*` reaches over dots, so that all come out that may fit, and few besides.
    near = _rows(connection, f"{PATTERN} and port = ? and ? glob host", place.port, place.host)
    return (*exact, *(each for each in near if host_fits(each.authority.host, place.host)))


def _near(connection: sqlite3.Connection, place: Authority) -> list[Binding]:
    """The bindings of a host, or all patterns that end and are reached like one."""
    if not is_pattern(place.host):
        return _rows(connection, "host = ? and port = ?", place.host, place.port)
    tail = tail_of(place.host)
    return _rows(connection, f"{PATTERN} and port = ? and host like ?", place.port, f"%.{tail}")


def _rows(connection: sqlite3.Connection, where: str = "true", *values: Any) -> list[Binding]:
    sql = f"select * from bindings where {where} order by secret, host, port"  # noqa: S608
    return [_binding(row) for row in connection.execute(sql, values)]


def _binding(row: sqlite3.Row) -> Binding:
    lists = {name: names_in(row[name]) for name in _LISTS}
    authority = Authority(row["host"], row["port"])
    return Binding(row["secret"], authority, row["recipe"], service=row["service"], **lists)
