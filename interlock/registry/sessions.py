"""Sessions: one run of an agent, whose declaration is pinned, proven by a token of its own."""

import secrets
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from interlock.errors import RegistryError
from interlock.model import Declaration
from interlock.registry.keys import SESSION_PREFIX, digest, new_key
from interlock.store import Audit, Database

# For so long one that is over is listed.
KEPT_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Session:
    """What a run of an agent may declare, and until when it may; times are epoch seconds."""

    id: str
    agent: str
    pinned: Declaration
    started_at: float
    expires_at: float
    ended_at: float | None = None

    def state(self, now: float) -> str:
        """`open`, `expired` or `ended`."""
        if self.ended_at is not None:
            return "ended"
        return "open" if now < self.expires_at else "expired"

    def holds(self, now: float) -> bool:
        """Say whether its token proves anything."""
        return self.state(now) == "open"

    @property
    def record(self) -> dict[str, Any]:
        """The session as JSON values, without the chain of delegation, which is a proof."""
        pinned = asdict(self.pinned)
        pinned["delegation"] = bool(pinned["delegation"])
        del pinned["approval"]
        times = {"started_at": self.started_at, "expires_at": self.expires_at}
        return {"id": self.id, "agent": self.agent, **pinned, **times, "ended_at": self.ended_at}


class Sessions:
    """Starts and ends sessions; to prove one is the registry's."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def start(
        self, agent: str, pinned: Declaration, *, ttl: float, now: float
    ) -> tuple[Session, str]:
        """Start a session of `ttl` seconds, and answer it with its token, shown this once.

        Raises RegistryError for an agent that is not registered.
        """
        token = new_key(SESSION_PREFIX)
        session = Session(f"ses_{secrets.token_hex(10)}", agent, pinned, now, now + ttl)

        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute("select 1 from agents where name = ?", [agent]).fetchone():
                raise RegistryError(f"there is no agent named {agent!r}")
            over = "delete from sessions where min(expires_at, coalesce(ended_at, 1e18)) < ?"
            connection.execute(over, [now - KEPT_S])
            self._insert(connection, session, token)
            after = {name: value for name, value in session.record.items() if value}
            details = {"session": session.id, "agent": agent, "after": after}
            self._audit(connection, "session.start", details)

        self._database.write(work)
        return session, token

    def end(self, id_: str, now: float, reason: str = "") -> Session:
        """End a session at once; raises RegistryError for one that is not open."""

        def work(connection: sqlite3.Connection) -> Session:
            row = connection.execute(
                "update sessions set ended_at = ? "
                "where id = ? and ended_at is null and expires_at > ? returning *",
                [now, id_, now],
            ).fetchone()
            if row is None:
                raise RegistryError(f"there is no open session {id_[:64]!r}")
            change = {"before": "open", "after": "ended", "reason": reason}
            details = {"session": id_, "agent": row["agent"]} | change
            self._audit(connection, "session.end", details)
            return _session(row)

        return self._database.write(work)

    def get(self, id_: str) -> Session:
        """Answer a session that is kept; raises RegistryError."""
        rows = self._database.rows("select * from sessions where id = ?", id_)
        if not rows:
            raise RegistryError(f"there is no session {id_[:64]!r}")
        return _session(rows[0])

    def all(self) -> list[Session]:
        """Every session that is kept, oldest first."""
        rows = self._database.rows("select * from sessions order by started_at, id")
        return [_session(row) for row in rows]

    def _insert(self, connection: sqlite3.Connection, session: Session, token: str) -> None:
        pinned = session.pinned
        connection.execute(
            "insert into sessions values (?, ?, ?, ?, ?, ?, ?, ?, ?, null)",
            [
                session.id,
                digest(token),
                session.agent,
                pinned.intent,
                pinned.intent_category,
                pinned.goal,
                pinned.delegation,
                session.started_at,
                session.expires_at,
            ],
        )


def find_open(connection: sqlite3.Connection, hashed: bytes) -> Session | None:
    """The session whose token has this digest; None for one that somebody ended."""
    row = connection.execute(
        "select * from sessions where digest = ? and ended_at is null", [hashed]
    ).fetchone()
    return _session(row) if row else None


def end_all(connection: sqlite3.Connection, agent: str, now: float) -> None:
    """End every session of an agent, in the caller's transaction."""
    connection.execute(
        "update sessions set ended_at = ? where agent = ? and ended_at is null", [now, agent]
    )


def forget_sessions(connection: sqlite3.Connection, agent: str) -> None:
    """Delete every session of an agent, in the caller's transaction."""
    connection.execute("delete from sessions where agent = ?", [agent])


def _session(row: sqlite3.Row) -> Session:
    fields = ("intent", "intent_category", "goal", "delegation")
    pinned = Declaration(*(row[field] for field in fields))
    times = (row["started_at"], row["expires_at"], row["ended_at"])
    return Session(row["id"], row["agent"], pinned, *times)
