"""The MCP servers: what runs where, what it offers, who said so, and how far it is trusted."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from interlock.errors import RegistryError
from interlock.model import Authority, Health, Server, Trust
from interlock.registry.posts import Posts
from interlock.registry.profile import Profile, forget, touch, write_health, write_profile
from interlock.registry.registration import (
    KIND,
    Registration,
    find,
    find_near,
    insert_server,
    read_servers,
    require,
    require_server_name,
    update_server,
)
from interlock.registry.takeover import changes, require_free_url, require_harmless
from interlock.registry.trust import FORGETTABLE, require_move
from interlock.store import AT_ONCE, Audit, Database, Lookup

PORTS = {"https": 443, "http": 80}


class Servers:
    """Everything that is known about servers, kept until it changes, changed with an audit row.

    Times (`now`) are epoch seconds.
    """

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._named = Lookup(database, self._find)
        self._places = Lookup(database, self._find_at)
        self.posts = Posts(database, audit)

    def get(self, name: str, now: float | None = None) -> Server:
        """Answer a server by name; raises RegistryError. Without `now` its lease is not asked."""
        found = self._named.get(name)
        if found is None:
            raise RegistryError(f"there is no server named {name!r}")
        return found.server if now is None else self._at(found, now)

    def at(self, authority: Authority, path: str, now: float) -> Server | None:
        """The server whose URL a request goes to: of several, the one with the longest path.

        One that is cut off keeps its calls, unless they go to one below it that a person judged:
        a newcomer at its address would open it again.
        """
        here = self._places.get(authority)
        if not here:
            return None
        wanted = path.partition("?")[0]
        found = [each for each in here if _serves(each.server.url, wanted)]
        if any(each.server.cut_off for each in found):
            found = [each for each in found if each.server.trust is not Trust.UNVERIFIED]
        best = max(
            found, key=lambda each: (len(each.server.url), each.server.cut_off), default=None
        )
        return self._at(best, now) if best else None

    def named(self, name: str) -> bool:
        """Say whether there is a server of this name."""
        return self._named.get(name) is not None

    def alone_at(self, authority: Authority, now: float) -> Server | None:
        """The server at a destination where there is one only, whatever the path."""
        found = self._places.get(authority)
        return self._at(found[0], now) if len(found) == 1 else None

    def near(
        self, authority: Authority, path: str, now: float
    ) -> tuple[Server | None, Server | None]:
        """The server at a path, and the one whose message it may be: that, or who is there alone.

        Asked of every call, most of which go to no server.
        """
        if not self._places.get(authority):
            return None, None
        here = self.at(authority, path, now)
        meant = here or self.alone_at(authority, now)
        return here, meant and self.posts.known(meant)

    def show(self, name: str) -> Registration:
        """Answer all that is known of a server, by name or id; raises RegistryError."""
        return self._database.read(lambda connection: require(connection, name))

    def all(self) -> list[Registration]:
        """All that is known of every server, by name; raises StoreError."""
        return self._database.read(read_servers)

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
        require_server_name(server.name)
        before = find(connection, server.name)
        if not vouched:
            require_free_url(connection, server)
        if before is None:
            changed = ["new"]
            insert_server(connection, server, scanner, lease_s, now)
            after = {"url": server.url, "trust": server.trust}
            self._audit(connection, "server.add", _told(server.name, profile) | {"after": after})
        else:
            if not vouched:  # whose it is, and in which groups, is for a person to say
                server = replace(server, owner=before.server.owner, groups=before.server.groups)
            changed = changes(before, server, profile)
            if not vouched and (changed or scanner != before.scanner):
                require_harmless(before, changed, scanner)
            update_server(connection, server, lease_s)
        write_profile(connection, KIND, server.name, profile, now)
        if before and changed:
            change = {
                "changed": changed,
                "before": {"url": before.server.url},
                "after": {"url": server.url},
            }
            self._audit(connection, "server.change", _told(server.name, profile) | change)
        return require(connection, server.name), changed

    def heartbeats(self, beats: Mapping[str, float]) -> int:
        """Note when servers were heard of, and answer how many of these are registered.

        All in one transaction. Nobody reads anything again because of it; it is not recorded.
        """
        return self._database.write(lambda connection: touch(connection, KIND, beats))

    def sweep(self, now: float, keep_s: float) -> list[str]:
        """Forget the servers whose lease ended so long ago; those that were judged stay."""

        def work(connection: sqlite3.Connection) -> list[str]:
            over = connection.execute(
                "select name from servers join profiles using (name) "
                "where kind = ? and last_seen + lease_s <= ? and trust = ? limit ?",
                [KIND, now - keep_s, FORGETTABLE, AT_ONCE],
            ).fetchall()
            return self.drop(connection, [row["name"] for row in over])

        return [name for some in iter(lambda: self._database.write(work), []) for name in some]

    def drop(self, connection: sqlite3.Connection, names: Iterable[str]) -> list[str]:
        """Forget those of these servers that nobody judged, in the caller's transaction."""
        known = filter(None, (find(connection, name) for name in names))
        gone = [one.server for one in known if one.server.trust is FORGETTABLE]
        for server in gone:
            self.remove_in(connection, server)
        return [server.name for server in gone]

    def set_health(self, name: str, health: Health, now: float) -> None:
        """Note how a server was found; a change of it is recorded. Raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            before = require(connection, name)
            if write_health(connection, KIND, before.server.name, health, now):
                details = {"before": before.seen.health, "after": health}
                self._audit(connection, "server.health", {"server": name} | details)

        self._database.write(work)

    def set_trust(self, name: str, trust: Trust, reason: str = "") -> None:
        """Move a server to another trust state; raises RegistryError for a move that is not one."""

        def work(connection: sqlite3.Connection) -> None:
            before = require(connection, name).server
            require_move(f"server {before.name!r}", before.trust, trust)
            connection.execute("update servers set trust = ? where name = ?", [trust, before.name])
            details = {"before": before.trust, "after": trust, "reason": reason}
            self._audit(connection, "server.trust", {"server": before.name} | details)

        self._database.write(work)

    def remove(self, name: str) -> None:
        """Forget a server; what was done with it stays in the ledger. Raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            self.remove_in(connection, require(connection, name).server)

        self._database.write(work)

    def remove_in(self, connection: sqlite3.Connection, server: Server) -> None:
        """Forget a server in the caller's transaction."""
        connection.execute("delete from servers where name = ?", [server.name])
        forget(connection, KIND, server.name)
        details = {"server": server.name, "before": {"trust": server.trust, "url": server.url}}
        self._audit(connection, "server.rm", details)

    def _find(self, name: str) -> Registration | None:
        found = self._database.read(lambda connection: find(connection, name))
        return found if found and found.server.name == name else None

    def _find_at(self, authority: Authority) -> tuple[Registration, ...]:
        near = self._database.read(lambda connection: find_near(connection, authority.host))
        return tuple(each for each in near if _is_at(each.server.url, authority))

    def _at(self, known: Registration, now: float) -> Server:
        """The server with what its lease says; only those that have one cost a look."""
        server = known.server
        if known.lease is None:
            return server
        found = self._database.read(lambda connection: find(connection, server.name))
        if found is None:
            return replace(server, lapsed=True)
        over = found.lease is not None and found.lease.over(now)
        return replace(server, lapsed=over, health=found.health(now))


def _serves(url: str, path: str) -> bool:
    """Say whether a path is that of a URL, or below it."""
    base = urlsplit(url).path.rstrip("/")
    return path == base or path.startswith(f"{base}/")


def _is_at(url: str, authority: Authority) -> bool:
    parts = urlsplit(url)
    at = (parts.hostname, parts.port or PORTS.get(parts.scheme))
    return at == (authority.host, authority.port)


def _told(name: str, profile: Profile) -> dict[str, Any]:
    """What an event says of a registration: who made it, and the names of what it offers."""
    return {"server": name, "source": profile.source, "tools": profile.names("tools")}
