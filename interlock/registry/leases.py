"""How long an agent is good for without being heard of."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """For how many seconds, and when it was renewed last, in seconds since the epoch."""

    seconds: float
    renewed_at: float

    @property
    def ends_at(self) -> float:
        """When it lapses, if it is not renewed."""
        return self.renewed_at + self.seconds

    def over(self, now: float) -> bool:
        """Say whether it has lapsed."""
        return now >= self.ends_at


def lease_of(connection: sqlite3.Connection, agent: str) -> Lease | None:
    """Read the lease of an agent; None for one without."""
    row = connection.execute(
        "select seconds, renewed_at from leases where agent = ?", [agent]
    ).fetchone()
    return Lease(row["seconds"], row["renewed_at"]) if row else None


def insert_lease(connection: sqlite3.Connection, agent: str, seconds: float, now: float) -> None:
    """Give an agent a lease, in the caller's transaction."""
    connection.execute("insert into leases values (?, ?, ?)", [agent, seconds, now])


def renew(connection: sqlite3.Connection, agent: str, now: float) -> Lease:
    """Begin the lease of an agent anew, in the caller's transaction."""
    row = connection.execute(
        "update leases set renewed_at = ? where agent = ? returning seconds", [now, agent]
    ).fetchone()
    return Lease(row["seconds"], now)
