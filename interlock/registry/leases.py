"""How long an agent is good for without being heard of."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interlock.model import Health
from interlock.registry.profile import Seen, touch
from interlock.store import Audit


@dataclass(frozen=True, slots=True)
class Lease:
    """For how many seconds, and when it was renewed last, in seconds since the epoch."""

    seconds: float
    renewed_at: float

    @property
    def ends_at(self) -> float:
        """When it lapses, if it is not renewed."""
        return self.renewed_at + self.seconds

    def state(self, now: float) -> str:
        """`live`; `stale` when a heartbeat is overdue, which belongs in every third; `lapsed`."""
        if self.over(now):
            return "lapsed"
        return "live" if now < self.renewed_at + self.seconds * 2 / 3 else "stale"

    def over(self, now: float) -> bool:
        """Say whether it has lapsed."""
        return now >= self.ends_at


def health_of(seen: Seen, lease: Lease | None, now: float) -> Health:
    """How somebody is: as found out by whoever looked, else by the heartbeats of the lease.

    Overdue is unhealthy, whatever was found out before; a heartbeat since it was registered is
    active, where nobody looked.
    """
    if lease is None:
        return seen.health
    if lease.state(now) != "live":
        return Health.UNHEALTHY
    heard = lease.renewed_at > seen.first_seen
    return Health.ACTIVE if heard and seen.health is Health.UNKNOWN else seen.health


def lease_of(connection: sqlite3.Connection, agent: str) -> Lease | None:
    """Read the lease of an agent; None for one without."""
    row = connection.execute(
        "select seconds, renewed_at from leases where agent = ?", [agent]
    ).fetchone()
    return Lease(row["seconds"], row["renewed_at"]) if row else None


def read_leases(connection: sqlite3.Connection) -> dict[str, Lease]:
    """Every lease, by its agent."""
    rows = connection.execute("select agent, seconds, renewed_at from leases")
    return {row["agent"]: Lease(row["seconds"], row["renewed_at"]) for row in rows}


def insert_lease(connection: sqlite3.Connection, agent: str, seconds: float, now: float) -> None:
    """Give an agent a lease, in the caller's transaction."""
    connection.execute("insert into leases values (?, ?, ?)", [agent, seconds, now])


def hear(connection: sqlite3.Connection, audit: Audit, beats: Mapping[str, float]) -> None:
    """Begin the leases of these agents anew, who were heard of at these times.

    Works in the caller's transaction. That one comes back after it had lapsed is recorded.
    """
    for name, lease in _lapsed_among(connection, beats):
        audit(connection, "agent.back", {"agent": name, "lapsed_at": lease.ends_at})
    connection.executemany(
        "update leases set renewed_at = max(renewed_at, ?) where agent = ?",
        ((now, agent) for agent, now in beats.items()),
    )
    touch(connection, "agent", beats)


def _lapsed_among(
    connection: sqlite3.Connection, beats: Mapping[str, float]
) -> Iterator[tuple[str, Lease]]:
    """The agents whose lease was over at the time that they were heard of again."""
    over = "select agent, seconds, renewed_at from leases where renewed_at + seconds <= ?"
    for row in connection.execute(over, [max(beats.values(), default=0.0)]):
        lease = Lease(row["seconds"], row["renewed_at"])
        if lease.over(beats.get(row["agent"], 0.0)):
            yield row["agent"], lease
