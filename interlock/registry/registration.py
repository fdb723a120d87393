"""One MCP server as it is stored; each function works in its caller's transaction."""

import json
import re
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from interlock.errors import RegistryError
from interlock.model import Health, Server, Trust
from interlock.registry.leases import Lease, health_of
from interlock.registry.profile import Seen, read_profile, read_profiles

KIND = "server"
ID_PREFIX = "srv_"
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@-]{0,127}")


@dataclass(frozen=True, slots=True)
class Registration:
    """One server as it stands in the registry; `scanner` is the id of the one that found it."""

    id: str
    server: Server
    seen: Seen
    lease: Lease | None = None
    scanner: str = ""

    def health(self, now: float) -> Health:
        """How it is, by its lease too."""
        return health_of(self.seen, self.lease, now)

    def record(self, now: float) -> dict[str, Any]:
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
            "health": str(self.health(now)),
            "scanner": self.scanner,
            "lease_s": lease and lease.seconds,
            "lapses_at": lease and lease.ends_at,
        }


def require_server_name(name: str) -> None:
    """Raise RegistryError for what no server can be called."""
    if not _NAME.fullmatch(name) or name.startswith(ID_PREFIX):  # one that is the id of another
        raise RegistryError(
            f"server name {name[:64]!r}: use letters, digits, '.', '_', '-', '/' and '@', "
            f"128 at most, and not {ID_PREFIX}"
        )


def find(connection: sqlite3.Connection, name: str) -> Registration | None:
    """Look a server up by name or id."""
    row = connection.execute(
        "select * from servers where name = ? or id = ?", [name, name]
    ).fetchone()
    return _registration(row, read_profile(connection, KIND, row["name"])) if row else None


def find_near(connection: sqlite3.Connection, host: str) -> list[Registration]:
    """The servers whose URL names a host, at whatever port, by name.

    A stranger says which host, so that hardly any other may come out: each costs a look of its own.
    """
    at = f"://[{host}]" if ":" in host else f"://{host}"
    rows = connection.execute(
        "select * from servers where instr(lower(url) || '/', ?) or instr(lower(url), ?) "
        "order by name",
        [f"{at}/", f"{at}:"],
    ).fetchall()
    return [_registration(row, read_profile(connection, KIND, row["name"])) for row in rows]


def require(connection: sqlite3.Connection, name: str) -> Registration:
    """The same; raises RegistryError when there is none."""
    if found := find(connection, name):
        return found
    raise RegistryError(f"there is no server named {name!r}")


def read_servers(connection: sqlite3.Connection) -> list[Registration]:
    """Every server, by name."""
    seen = read_profiles(connection, KIND)
    rows = connection.execute("select * from servers order by name")
    return [_registration(row, seen.get(row["name"], Seen())) for row in rows]


def insert_server(
    connection: sqlite3.Connection, server: Server, scanner: str, lease_s: float | None, now: float
) -> None:
    """Register a server under a new id."""
    connection.execute(
        "insert into servers values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            server.name,
            f"{ID_PREFIX}{secrets.token_hex(10)}",
            server.url,
            server.owner,
            json.dumps(list(server.groups)),
            server.trust,
            scanner,
            lease_s,
            now,
        ],
    )


def update_server(connection: sqlite3.Connection, server: Server, lease_s: float | None) -> None:
    """Take up what a known server says of itself now, but not how far it is trusted."""
    connection.execute(
        "update servers set url = ?, owner = ?, groups = ?, lease_s = coalesce(?, lease_s) "
        "where name = ?",
        [server.url, server.owner, json.dumps(list(server.groups)), lease_s, server.name],
    )


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
