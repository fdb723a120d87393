"""The MCP servers: what runs where, what it offers, who said so, and how far it is trusted."""

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from interlock.errors import RegistryError
from interlock.model import Authority, Health, Server, Trust
from interlock.registry.leases import Lease
from interlock.registry.profile import (
    Profile,
    Seen,
    forget,
    read_profile,
    read_profiles,
    touch,
    write_health,
    write_profile,
)
from interlock.registry.trust import FORGETTABLE, require_move
from interlock.store import Audit, Database, Snapshot

KIND = "server"
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@-]{0,127}")
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Registration:
    """One server as it stands in the registry; `scanner` is the id of the one that found it."""

    id: str
    server: Server
    seen: Seen
    lease: Lease | None = None
    scanner: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """Everything as one object of JSON values."""
        server, lease = self.server, self.lease
        return {
            "id": self.id,
            "name": server.name,
            "url": server.url,
            "owner": server.owner,
            "groups": list(server.groups),
            "trust": str(server.trust),
            **self.seen.record,
            "scanner": self.scanner,
            "lease_s": lease and lease.seconds,
            "lapses_at": lease and lease.ends_at,
        }


@dataclass(frozen=True, slots=True)
class _Known:
    servers: Mapping[str, Server]
    leased: frozenset[str]


class Servers:
    """Everything that is known about servers, read through a snapshot, changed with an audit row.

    Times (`now`) are epoch seconds.
    """

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    def get(self, name: str, now: float | None = None) -> Server:
        """Answer a server by name; raises RegistryError. Without `now` its lease is not asked."""
        try:
            server = self._known.value.servers[name]
        except KeyError:
            raise RegistryError(f"there is no server named {name!r}") from None
        return server if now is None else self._at(server, now)

    def at(self, authority: Authority, path: str, now: float) -> Server | None:
        """The server whose URL a request goes to: of several, the one with the longest path."""
        wanted = path.partition("?")[0]
        found = [s for s in self._known.value.servers.values() if _serves(s.url, authority, wanted)]
        best = max(found, key=lambda server: len(server.url), default=None)
        return best and self._at(best, now)

    def named(self, name: str) -> bool:
        """Say whether there is a server of this name."""
        return name in self._known.value.servers

    def alone_at(self, authority: Authority, now: float) -> Server | None:
        """The server at a destination where there is one only, whatever the path."""
        known = self._known.value.servers.values()
        found = [server for server in known if _is_at(server.url, authority)]
        return self._at(found[0], now) if len(found) == 1 else None

    def show(self, name: str) -> Registration:
        """Answer all that is known of a server, by name or id; raises RegistryError."""
        return self._database.read(lambda connection: _require(connection, name))

    def all(self) -> list[Registration]:
        """All that is known of every server, by name; raises StoreError."""
        return self._database.read(_all)

    def register(
        self,
        server: Server,
        profile: Profile,
        now: float,
        *,
        lease_s: float | None = None,
        scanner: str = "",
        vouched: bool = False,
    ) -> tuple[Registration, list[str]]:
        """Add a server, or take up what is new of one, and name the fields that changed.

        A new one has the trust that `server` says; that of a known one stays as it is. Raises
        RegistryError for a bad name, for the server or the URL of another, and for one that is
        cut off or trusted and would be somewhere else now, unless a person vouches for that.
        """
        return self._database.write(
            lambda c: self.register_in(
                c, server, profile, now, lease_s=lease_s, scanner=scanner, vouched=vouched
            )
        )

    def register_in(
        self,
        connection: sqlite3.Connection,
        server: Server,
        profile: Profile,
        now: float,
        *,
        lease_s: float | None = None,
        scanner: str = "",
        vouched: bool = False,
    ) -> tuple[Registration, list[str]]:
        """Do the same in the caller's transaction."""
        if not _NAME.fullmatch(server.name):
            raise RegistryError(
                f"server name {server.name[:64]!r}: use letters, digits, '.', '_', '-', '/' and "
                "'@', 128 at most"
            )
        before = _find(connection, server.name)
        if not vouched:
            _require_free_url(connection, server)
        if before is None:
            changed = ["new"]
            self._insert(connection, server, scanner, lease_s, now)
            after = {"url": server.url, "trust": server.trust}
            self._audit(connection, "server.add", _told(server.name, profile) | {"after": after})
        else:
            if not vouched:  # whose it is, and in which groups, is for a person to say
                server = replace(server, owner=before.server.owner, groups=before.server.groups)
            changed = _changes(before, server, profile)
            _require_harmless(before, changed, scanner, vouched=vouched)
            _update(connection, server, lease_s)
        write_profile(connection, KIND, server.name, profile, now)
        if before and changed:
            change = {
                "changed": changed,
                "before": {"url": before.server.url},
                "after": {"url": server.url},
            }
            self._audit(connection, "server.change", _told(server.name, profile) | change)
        return _require(connection, server.name), changed

    def heartbeats(self, beats: Mapping[str, float]) -> int:
        """Note when servers were heard of, and answer how many of these are registered.

        All in one transaction. Nobody reads anything again because of it; it is not recorded.
        """
        return self._database.write(lambda connection: touch(connection, KIND, beats))

    def sweep(self, now: float, keep_s: float) -> list[str]:
        """Forget the servers whose lease ended so long ago; those that were judged stay."""

        def work(connection: sqlite3.Connection) -> list[str]:
            over = [one for one in _all(connection) if one.lease and one.lease.over(now - keep_s)]
            return self.drop(connection, [one.server.name for one in over])

        return self._database.write(work)

    def drop(self, connection: sqlite3.Connection, names: Iterable[str]) -> list[str]:
        """Forget those of these servers that nobody judged, in the caller's transaction."""
        known = filter(None, (_find(connection, name) for name in names))
        gone = [one.server for one in known if one.server.trust in FORGETTABLE]
        for server in gone:
            self.remove_in(connection, server)
        return [server.name for server in gone]

    def set_health(self, name: str, health: Health, now: float) -> None:
        """Note how a server was found; a change of it is recorded. Raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            before = _require(connection, name)
            if write_health(connection, KIND, before.server.name, health, now):
                details = {"before": before.seen.health, "after": health}
                self._audit(connection, "server.health", {"server": name} | details)

        self._database.write(work)

    def set_trust(self, name: str, trust: Trust, reason: str = "") -> None:
        """Move a server to another trust state; raises RegistryError for a move that is not one."""

        def work(connection: sqlite3.Connection) -> None:
            before = _require(connection, name).server
            require_move(f"server {before.name!r}", before.trust, trust)
            connection.execute("update servers set trust = ? where name = ?", [trust, before.name])
            details = {"before": before.trust, "after": trust, "reason": reason}
            self._audit(connection, "server.trust", {"server": before.name} | details)

        self._database.write(work)

    def remove(self, name: str) -> None:
        """Forget a server; what was done with it stays in the ledger. Raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            self.remove_in(connection, _require(connection, name).server)

        self._database.write(work)

    def remove_in(self, connection: sqlite3.Connection, server: Server) -> None:
        """Forget a server in the caller's transaction."""
        connection.execute("delete from servers where name = ?", [server.name])
        forget(connection, KIND, server.name)
        details = {"server": server.name, "before": {"trust": server.trust, "url": server.url}}
        self._audit(connection, "server.rm", details)

    def _insert(
        self,
        connection: sqlite3.Connection,
        server: Server,
        scanner: str,
        lease_s: float | None,
        now: float,
    ) -> None:
        connection.execute(
            "insert into servers values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                server.name,
                f"srv_{secrets.token_hex(10)}",
                server.url,
                server.owner,
                json.dumps(list(server.groups)),
                server.trust,
                scanner,
                lease_s,
                now,
            ],
        )

    def _at(self, server: Server, now: float) -> Server:
        """The server with what its lease says; only those that have one cost a look."""
        if server.name not in self._known.value.leased:
            return server
        found = self._database.read(lambda connection: _find(connection, server.name))
        return replace(server, lapsed=found is None or bool(found.lease and found.lease.over(now)))


def _serves(url: str, authority: Authority, path: str) -> bool:
    """Say whether a request goes to the endpoint of a URL, or below it."""
    base = urlsplit(url).path.rstrip("/")
    return _is_at(url, authority) and (path == base or path.startswith(f"{base}/"))


def _is_at(url: str, authority: Authority) -> bool:
    parts = urlsplit(url)
    at = (parts.hostname, parts.port or PORTS.get(parts.scheme))
    return at == (authority.host, authority.port)


def _changes(before: Registration, server: Server, profile: Profile) -> list[str]:
    known = before.server
    own = [name for name in ("url", "owner", "groups") if _differ(known, server, name)]
    return own + before.seen.profile.changes(profile)


def _differ(one: Server, other: Server, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _require_harmless(
    before: Registration, changed: Sequence[str], scanner: str, *, vouched: bool
) -> None:
    """Raise RegistryError for a change that nobody but a person may make."""
    name, trust = before.server.name, before.server.trust
    if vouched or not (changed or scanner != before.scanner):
        return
    if scanner != before.scanner:
        raise RegistryError(f"server {name!r} was registered by another")
    moved = {"url", "command", "args"} & set(changed)
    if moved and trust is not Trust.UNVERIFIED:
        raise RegistryError(f"server {name!r} is {trust}: a person has to change its {min(moved)}")


def _require_free_url(connection: sqlite3.Connection, server: Server) -> None:
    """Raise RegistryError when the URL is another's, who would be called by a newcomer's name."""
    other = connection.execute(
        "select name from servers where url = ? and url <> '' and name <> ?",
        [server.url, server.name],
    ).fetchone()
    if other:
        raise RegistryError(f"server {other['name']!r} is registered for {server.url}")


def _update(connection: sqlite3.Connection, server: Server, lease_s: float | None) -> None:
    """Take up what a known server says of itself now, but not how far it is trusted."""
    connection.execute(
        "update servers set url = ?, owner = ?, groups = ?, lease_s = coalesce(?, lease_s) "
        "where name = ?",
        [server.url, server.owner, json.dumps(list(server.groups)), lease_s, server.name],
    )


def _told(name: str, profile: Profile) -> dict[str, Any]:
    """What an event says of a registration: who made it, and the names of what it offers."""
    return {"server": name, "source": profile.source, "tools": profile.names("tools")}


def _require(connection: sqlite3.Connection, name: str) -> Registration:
    if found := _find(connection, name):
        return found
    raise RegistryError(f"there is no server named {name!r}")


def _find(connection: sqlite3.Connection, name: str) -> Registration | None:
    row = connection.execute("select * from servers where ? in (name, id)", [name]).fetchone()
    return _registration(row, read_profile(connection, KIND, row["name"])) if row else None


def _all(connection: sqlite3.Connection) -> list[Registration]:
    seen = read_profiles(connection, KIND)
    rows = connection.execute("select * from servers order by name")
    return [_registration(row, seen.get(row["name"], Seen())) for row in rows]


def _load(database: Database) -> _Known:
    found = database.read(_all)
    leased = frozenset(one.server.name for one in found if one.lease)
    return _Known({one.server.name: one.server for one in found}, leased)


def _registration(row: sqlite3.Row, seen: Seen) -> Registration:
    server = Server(
        row["name"],
        row["url"],
        row["owner"],
        tuple(json.loads(row["groups"])),
        Trust(row["trust"]),
        seen.health,
    )
    lease = None if row["lease_s"] is None else Lease(row["lease_s"], seen.last_seen)
    return Registration(row["id"], server, seen, lease, row["scanner"])
