"""Which secret may go to which host, in which form, for which calls."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from interlock.model import Agent, Authority, Binding, Call
from interlock.pattern import host_fits, is_pattern, tail_of
from interlock.store.database import Database
from interlock.store.fit import choose, require_distinct
from interlock.store.snapshot import Snapshot

_LISTS = ("agents", "groups", "goals", "methods", "paths")


@dataclass(frozen=True, slots=True)
class _Known:
    """All bindings: those of plain hosts by destination, patterns by how they end and port."""

    exact: Mapping[Authority, tuple[Binding, ...]]
    patterns: Mapping[Authority, tuple[Binding, ...]]

    def at(self, authority: Authority) -> tuple[Binding, ...]:
        """The bindings that mean a destination, exact ones first."""
        found = self.exact.get(authority, ())
        if not self.patterns:
            return found
        near = self.patterns.get(Authority(tail_of(authority.host), authority.port), ())
        return (*found, *(b for b in near if host_fits(b.authority.host, authority.host)))


class Bindings:
    """The table of bindings, read through a snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshot = Snapshot(database, _load)
        self._rows = Snapshot(database, lambda opened: opened.read(_rows))

    def all(self) -> list[Binding]:
        """Every binding, by secret and host."""
        return list(self._rows.value)

    def at(self, authority: Authority) -> tuple[Binding, ...]:
        """Every binding of one destination, those of a pattern included."""
        return self._snapshot.value.at(authority)

    def choose(self, agent: Agent, call: Call, goal: str) -> Binding | None:
        """The binding that serves a call; `goal` is open for this agent and action, or empty.

        None for a caller that gave no proof of who it is, and for an agent that is cut off:
        neither may ever hold a credential (invariant I6). Raises BindingError when two secrets
        fit equally well.
        """
        if not agent.identified or agent.cut_off:
            return None
        return choose(self.at(call.request.authority), agent, call, goal)

    def require_distinct(self) -> None:
        """Raise BindingError when a call could not choose between two secrets."""
        require_distinct(self.all())


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
    removed = [binding for binding in _rows(connection) if binding.secret == secret]
    connection.execute("delete from bindings where secret = ?", [secret])
    return removed


def unbind_all(connection: sqlite3.Connection) -> list[Binding]:
    """Remove every binding, in the caller's transaction, and return them."""
    removed = _rows(connection)
    connection.execute("delete from bindings")
    return removed


def check_distinct(connection: sqlite3.Connection) -> None:
    """Raise BindingError when the caller's transaction leaves two secrets that fit one call."""
    require_distinct(_rows(connection))


def release(connection: sqlite3.Connection, agent: str) -> list[Binding]:
    """Take an agent's name out of every binding, in the caller's transaction.

    A binding that meant this agent alone ends: it must not become everyone's, nor pass to the
    next agent of that name. Answers the bindings that ended.
    """
    ended = []
    for binding in _rows(connection):
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


def _load(database: Database) -> _Known:
    bindings = database.read(_rows)
    patterns = [b for b in bindings if is_pattern(b.authority.host)]
    return _Known(
        _grouped((b.authority, b) for b in bindings if not is_pattern(b.authority.host)),
        _grouped((Authority(tail_of(b.authority.host), b.authority.port), b) for b in patterns),
    )


def _grouped(pairs: Iterable[tuple[Authority, Binding]]) -> Mapping[Authority, tuple[Binding, ...]]:
    found: dict[Authority, tuple[Binding, ...]] = {}
    for authority, binding in pairs:
        found[authority] = (*found.get(authority, ()), binding)
    return found


def _rows(connection: sqlite3.Connection) -> list[Binding]:
    rows = connection.execute("select * from bindings order by secret, host, port")
    return [_binding(row) for row in rows]


def _binding(row: sqlite3.Row) -> Binding:
    lists = {name: frozenset(json.loads(row[name])) for name in _LISTS}
    authority = Authority(row["host"], row["port"])
    return Binding(row["secret"], authority, row["recipe"], service=row["service"], **lists)
