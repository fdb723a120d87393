"""What scanners found enters this registry: unverified, with its evidence, told in the ledger."""

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import batched
from typing import Any

from interlock.discovery.merge import Found
from interlock.discovery.sighting import Kind, written
from interlock.discovery.sweep import Sweep
from interlock.discovery.words import digest
from interlock.errors import RegistryError
from interlock.installation import Installation
from interlock.inventory import GROUP, Change, Comparison, Entry, evidence_of, looked_at
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import UNIDENTIFIED, Agent, Health, Server
from interlock.registry import Holder, Profile, enlist
from interlock.registry.profile import touch, write_health
from interlock.store import AT_ONCE
from interlock.store.sightings import Row, gone, keep, rows, seen

log = logging.getLogger(__name__)

MOST_TOLD = 50


class HomeInventory:
    """The registry of this home."""

    def __init__(self, installation: Installation, scanner: str = "discover") -> None:
        self._records = installation
        self._scanner = scanner

    def plan(self, sweep: Sweep) -> list[Entry]:
        """Say what is new, changed, unchanged and stale, and change nothing; raises StoreError."""
        stored = self._records.database.read(rows)
        names = _Names(self._records, stored)
        return Comparison(sweep, stored, names.fresh, self._registered).entries()

    def apply(self, sweep: Sweep, entries: Sequence[Entry], now: float) -> None:
        """Carry a plan out, and tell the ledger; raises StoreError. `now` is in epoch seconds."""
        told = looked_at(sweep, entries)
        for batch in batched(told, AT_ONCE):
            self._records.database.write(partial(self._take, entries=batch, now=now))
        body = _summary(sweep, told) | {"scanner": self._scanner}
        event = Event(new_id("dis"), time.time(), "discovery", body=body)
        self._records.database.write(lambda c: self._records.ledger.append(c, [event]))

    def holders(self, entries: Sequence[Entry]) -> Iterator[Holder]:
        """Which address stands for which agent, by what was seen now."""
        for entry in entries:
            if entry.kind is Kind.AGENT and entry.change is not Change.STALE:
                for one in entry.found.addresses:
                    yield Holder(one.ip, one.network, entry.name, one.container)

    def _registered(self, kind: Kind, name: str) -> bool:
        try:
            if kind is Kind.AGENT:
                self._records.registry.get(name)
            else:
                self._records.servers.get(name)
        except RegistryError:
            return False
        return True

    def _take(self, connection: sqlite3.Connection, entries: Sequence[Entry], now: float) -> None:
        for entry in entries:
            if entry.change is Change.UNCHANGED:
                seen(connection, entry.found.places, now)
                touch(connection, entry.kind, {entry.name: now})
                continue
            refused = self._enter(connection, entry, now)
            gone(connection, entry.places)
            event = Event(
                new_id("dis"),
                time.time(),
                "discovery",
                entry.name if entry.kind is Kind.AGENT else "",
                body=_told(entry) | ({"refused": refused} if refused else {}),
            )
            self._records.ledger.append(connection, [event])

    def _enter(self, connection: sqlite3.Connection, entry: Entry, now: float) -> str:
        """Put one entry into the registry, or say why that was refused."""
        if entry.change is Change.STALE:
            write_health(connection, entry.kind, entry.name, Health.UNHEALTHY, now)
            return ""
        for sighting in entry.found.sightings:
            row = Row(sighting.place, entry.kind, entry.name, written(sighting), True)
            keep(connection, row, now)
        profile = _profile(entry.found, self._scanner)
        try:
            if entry.kind is Kind.AGENT:
                enlist(connection, Agent(entry.name, groups=(GROUP,)), profile, now)
            else:
                self._enter_server(connection, entry, profile, now)
        except RegistryError as e:
            log.warning("%s", e)
            return str(e)
        write_health(connection, entry.kind, entry.name, Health.ACTIVE, now)
        return ""

    def _enter_server(
        self, connection: sqlite3.Connection, entry: Entry, profile: Profile, now: float
    ) -> None:
        """Register a server, or heed one that somebody else registered for the same URL."""
        url = next(iter(entry.found.record["endpoints"]), "")
        found = connection.execute(
            "select scanner from servers where name = ?", [entry.name]
        ).fetchone()
        if found and found["scanner"] != self._scanner:
            touch(connection, entry.kind, {entry.name: now})
            return
        server = Server(entry.name, url=url, groups=(GROUP,))
        self._records.servers.register_in(connection, server, profile, now, scanner=self._scanner)


class _Names:
    """The name of everything in the registry; what is new gets one that nobody has."""

    def __init__(self, records: Installation, stored: Sequence[Row]) -> None:
        servers = records.servers.all()
        self._of_url = {one.server.url: one.server.name for one in servers if one.server.url}
        self._taken = {(Kind.AGENT, agent.name) for agent in records.registry.all()}
        self._taken |= {(Kind.SERVER, one.server.name) for one in servers}
        self._taken |= {(Kind(row.kind), row.name) for row in stored}
        self._taken |= {(Kind.AGENT, UNIDENTIFIED.name)}

    def fresh(self, found: Found) -> str:
        """The name by its URL, or a new one."""
        if found.kind is Kind.SERVER:
            urls = (self._of_url.get(url) for url in found.record["endpoints"])
            if name := next(filter(None, urls), ""):
                return name
        name = found.name
        if (found.kind, name) in self._taken:
            name = f"{name}-{digest(*found.places)[:8]}"
        self._taken.add((found.kind, name))
        return name


def _profile(found: Found, scanner: str) -> Profile:
    """What the registry keeps of it beside its name."""
    record = found.record
    return Profile(
        type=record["type"],
        description=str(record["facts"].get("description", "")),
        framework=record["framework"],
        version=record["version"],
        labels=record["labels"],
        capabilities=record["capabilities"],
        endpoints=tuple(record["endpoints"]),
        command=record["command"],
        args=tuple(record["args"]),
        env=tuple(record["env"]),
        signals=tuple(record["signals"]),
        evidence=evidence_of(found),
        source=f"scanner:{scanner}",
    )


def _told(entry: Entry) -> dict[str, Any]:
    """What the ledger says of one entry: names, never a value."""
    record = entry.record
    return {
        "change": record["change"],
        "kind": record["kind"],
        "name": record["name"],
        "fields": record["fields"],
        "sources": record["sources"],
        "framework": record["framework"],
        "confidence": record["confidence"],
        "because": record["evidence"][:MOST_TOLD],
        "signals": record["signals"],
        "findings": record["findings"][:MOST_TOLD],
        "places": list(entry.found.places)[:MOST_TOLD],
    }


def _summary(sweep: Sweep, entries: Sequence[Entry]) -> dict[str, Any]:
    counts = {str(change): 0 for change in Change}
    for entry in entries:
        counts[str(entry.change)] += 1
    troubles = [trouble.why for trouble in sweep.troubles]
    return {
        "sources": [survey.source for survey in sweep.surveys],
        **counts,
        "troubles": troubles[:MOST_TOLD],
        "more_troubles": max(0, len(troubles) - MOST_TOLD),
    }
