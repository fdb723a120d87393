"""The rows of minted tokens: whose each is, from which route, until when. Values are sealed."""

import sqlite3
from dataclasses import dataclass

# More that are alive at once, of one agent and one route, and the oldest is forgotten.
MOST = 32


@dataclass(frozen=True, slots=True)
class Minted:
    """One token that an upstream handed out. `digest` is the SHA-256 of its placeholder, in hex.

    `made_at` and `ends` are in epoch seconds.
    """

    digest: str
    agent: str
    route: str
    field: str
    made_at: float
    ends: float

    @property
    def id(self) -> str:
        """What people and the ledger call this very token."""
        return f"mnt_{self.digest[:16]}"

    @property
    def secret(self) -> str:
        """What policies call it; no secret that a person stores can have such a name."""
        return secret_name(self.route, self.field)

    @property
    def label(self) -> str:
        """What is sealed along, so that a row cannot be bent to another agent or a later end."""
        return " ".join((self.secret, self.agent, self.digest, repr(self.ends)))


def secret_name(route: str, field: str) -> str:
    """The name of what a route mints in one field."""
    return f"minted/{route}/{field}"


def keep(connection: sqlite3.Connection, minted: Minted, sealed: bytes) -> None:
    """Store a token in the caller's transaction; what has ended, or is too much, goes."""
    connection.execute("delete from minted where ends <= ?", [minted.made_at])
    connection.execute(
        "insert into minted (digest, agent, route, field, made_at, ends, sealed) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        [
            *(minted.digest, minted.agent, minted.route, minted.field),
            *(minted.made_at, minted.ends, sealed),
        ],
    )
    connection.execute(
        "delete from minted where digest in (select digest from minted where agent = ? "
        "and route = ? order by made_at desc, rowid desc limit -1 offset ?)",
        [minted.agent, minted.route, MOST],
    )


def rows(connection: sqlite3.Connection) -> list[tuple[Minted, bytes]]:
    """Every token with its sealed value, the oldest first."""
    found = connection.execute("select * from minted order by made_at, rowid")
    return [
        (
            Minted(
                row["digest"],
                row["agent"],
                row["route"],
                row["field"],
                row["made_at"],
                row["ends"],
            ),
            bytes(row["sealed"]),
        )
        for row in found
    ]


def forget_agent(connection: sqlite3.Connection, agent: str) -> None:
    """Forget what an agent was handed, in the caller's transaction."""
    connection.execute("delete from minted where agent = ?", [agent])


def forget_route(connection: sqlite3.Connection, route: str) -> int:
    """Forget what a route has minted, in the caller's transaction; answer how many there were."""
    return connection.execute("delete from minted where route = ?", [route]).rowcount
