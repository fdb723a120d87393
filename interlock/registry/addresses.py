"""Which agent a source address stands for, as long as somebody watches the container behind it.

The weakest of all proofs: it says no more than that a connection came out of a container. So it
holds only in a network of this machine, only for the one container that has the address, and only
until its lease ends, which is short and renewed while the engine's events are followed.
"""

import ipaddress
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from interlock.errors import IdentityError, RegistryError
from interlock.model import Agent
from interlock.registry.registry import Registry
from interlock.store import Database

LEASE_S = 30.0


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """Who has an address in a network (CIDR): an agent, in a container."""

    ip: str
    network: str
    agent: str
    container: str


@dataclass(frozen=True, slots=True)
class Whence:
    """Both ends of a connection, as the system tells them: where it came from, and where to."""

    peer: str
    local: str


class Addresses:
    """The table of addresses that prove an agent."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def agent_at(self, whence: Whence, now: float) -> Agent | None:
        """The agent that a connection comes from; None when its address proves nobody.

        Both ends have to lie in the network: what came through a router or a translation of
        addresses may be anybody.
        """
        peer, local = _plain(whence.peer), _plain(whence.local)
        if peer is None or local is None or peer == local:
            return None
        row = self._database.one(
            "select network, agent from addresses where ip = ? and until > ?", str(peer), now
        )
        if row is None:
            return None
        network = ipaddress.ip_network(row["network"])
        if peer not in network or local not in network:
            return None
        try:
            return self._registry.get(row["agent"], now)
        except RegistryError:
            return None

    def require(self, whence: Whence, agent: str, now: float) -> Agent:
        """The agent, if it is still who its address says; raises IdentityError."""
        found = self.agent_at(whence, now)
        if found is None or found.name != agent:
            raise IdentityError(f"the address {whence.peer} does not stand for {agent} any more")
        return found

    def lapsed_since(self, since: float, now: float) -> bool:
        """Say whether the lease of any address ended in between."""
        sql = "select 1 from addresses where until between ? and ? limit 1"
        return self._database.one(sql, since, now) is not None

    def bind(self, holders: Iterable[Holder], now: float) -> list[Holder]:
        """Let these addresses, and no others, stand for their agents; answer those that do.

        One that two containers have stands for nobody.
        """
        wanted: dict[str, set[Holder]] = {}
        for holder in holders:
            wanted.setdefault(holder.ip, set()).add(holder)
        alone = [each.pop() for each in wanted.values() if len(each) == 1]

        def work(connection: sqlite3.Connection) -> list[Holder]:
            rows = connection.execute("select ip, network, agent, container from addresses")
            before = {Holder(*row) for row in rows}
            for gone in before - set(alone):
                connection.execute("delete from addresses where ip = ?", [gone.ip])
            for new in set(alone) - before:
                values = [new.ip, new.network, new.agent, new.container, now + LEASE_S]
                connection.execute("insert into addresses values (?, ?, ?, ?, ?)", values)
            connection.execute("update addresses set until = ?", [now + LEASE_S])
            return sorted(alone)

        return self._database.write(work)

    def renew(self, now: float) -> None:
        """Begin all leases anew that have not ended."""
        self._database.write(
            lambda c: c.execute(
                "update addresses set until = ? where until > ?", [now + LEASE_S, now]
            )
        )

    def release(self, container: str) -> None:
        """Let no address stand for what was in a container; of all, when the name is empty."""
        self._database.write(
            lambda c: c.execute(
                "delete from addresses where container = ? or ? = ''", [container, container]
            )
        )


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without its zone, IPv4 where it is mapped into IPv6; None for no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
