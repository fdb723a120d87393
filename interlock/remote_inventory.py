"""What scanners found is reported to a registry elsewhere over its API, and remembered here."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Any

from interlock.client.channel import Channel
from interlock.client.errors import ApiError, ClientError
from interlock.discovery.merge import Found
from interlock.discovery.sighting import Kind, written
from interlock.discovery.sweep import Sweep
from interlock.discovery.words import digest
from interlock.installation import Installation
from interlock.inventory import Change, Comparison, Entry, evidence_of
from interlock.registry import Holder
from interlock.store.sightings import Row, gone, keep, rows, seen

log = logging.getLogger(__name__)

# What the registry refuses of one entry; anything else keeps all of them from it.
REFUSED = frozenset({400, 403, 404, 409, 413})
REGISTRARS = frozenset({"scanner", "operator", "admin"})
AT_ONCE = 500
MOST_LABELS, MOST_TEXTS = 64, 256
# A heartbeat belongs in every third of a lease.
BEATS = 3
SHORTEST_LEASE_S = 90.0


class RemoteInventory:
    """The registry behind a channel that is opened with the key of a scanner.

    What is gone is not heard of any more: its lease ends, there as with all that is registered.
    """

    def __init__(
        self, installation: Installation, channel: Channel, scanner: str, interval_s: float
    ) -> None:
        """`interval_s` are the seconds between two looks, each of which is a heartbeat."""
        self._records = installation
        self._channel = channel
        self._scanner = scanner
        self._lease_s = max(SHORTEST_LEASE_S, BEATS * interval_s)

    def plan(self, sweep: Sweep) -> list[Entry]:
        """Compare with what was reported before, and ask nobody; raises StoreError."""
        stored = self._records.database.read(rows)
        return Comparison(sweep, stored, self._fresh, lambda *_: True).entries()

    def apply(self, sweep: Sweep, entries: Sequence[Entry], now: float) -> None:
        """Report it, each entry by itself: what was answered is remembered, the rest comes again.

        Raises ClientError as soon as the registry cannot be reached, or lets us register nothing,
        and StoreError.
        """
        self._require_registrar()
        lasting = [entry for entry in entries if entry.change is Change.UNCHANGED]
        for lost in self._unheard(lasting):
            self._report(lost)
        self._remember(lasting, now)
        for entry in entries:
            if entry.change in (Change.NEW, Change.CHANGED):
                self._report(entry)
                self._remember([entry], now)
        self._remember([entry for entry in entries if entry.change is Change.STALE], now)

    def holders(self, entries: Sequence[Entry]) -> Iterator[Holder]:
        """Nobody: an address proves an agent to the front door of the same machine only."""
        yield from ()

    def _require_registrar(self) -> None:
        """Raise ClientError when the key is none that registers: each entry would be refused."""
        if self._channel.ask("GET", "/whoami").get("role") not in REGISTRARS:
            said = "its key registers nothing: interlock token add NAME --role scanner"
            raise ClientError(f"{self._channel.url}: {said}")

    def _remember(self, entries: Sequence[Entry], now: float) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for entry in entries:
                _remember(connection, entry, now)

        self._records.database.write(work)

    def _fresh(self, found: Found) -> str:
        """A name that tells what is the same on another machine apart, and stays with the place."""
        return f"{found.name}-{digest(self._scanner, found.places[0])[:8]}"

    def _unheard(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        """Send the heartbeats, and answer what the registry does not know any more."""
        agents = [entry for entry in entries if entry.kind is Kind.AGENT]
        for batch in batched(agents, AT_ONCE):
            if self._beat(*batch) < len(batch):
                yield from (one for one in batch if not self._beat(one))
        for entry in entries:
            if entry.kind is Kind.SERVER:
                body = {"server_id": entry.name}
                if not self._asked("POST", "/api/v1/servers/heartbeat", body):
                    yield entry

    def _beat(self, *agents: Entry) -> int:
        names = [entry.name for entry in agents]
        body = {"names": names}
        return int(self._channel.ask("POST", "/api/v1/agents/heartbeat", body)["count"])

    def _report(self, entry: Entry) -> None:
        """Register one entry, or take up what is new of it."""
        said = _said(entry.found)
        try:
            if entry.kind is Kind.SERVER:
                self._channel.ask("POST", "/api/v1/servers/register", self._server(entry, said))
            elif not self._asked("PUT", f"/agents/{entry.name}", said):
                new = said | {"name": entry.name, "ttl_s": self._lease_s}
                self._channel.ask("POST", "/api/v1/agents/register", new)
        except ApiError as e:
            if e.status not in REFUSED:
                raise
            log.warning("discovery: the registry refuses %s: %s", entry.name, e)

    def _server(self, entry: Entry, said: dict[str, Any]) -> dict[str, Any]:
        known = entry.found.record
        more = {"command": known["command"], "args": known["args"][:MOST_TEXTS], "status": "active"}
        more |= {"env": dict.fromkeys(known["env"], ""), "url": next(iter(said["endpoints"]), "")}
        kept = {key: value for key, value in said.items() if key not in ("agent_type", "endpoints")}
        return kept | more | {"name": entry.name, "ttl_s": self._lease_s}

    def _asked(self, method: str, path: str, body: dict[str, Any]) -> bool:
        """Say whether what a request is about is there."""
        try:
            self._channel.ask(method, path, body)
        except ApiError as e:
            if e.status != 404:
                raise
            return False
        return True


def _said(found: Found) -> dict[str, Any]:
    """What the registry is told of an agent or a server: names and facts, as it is kept here."""
    known = found.record
    return {
        "agent_type": known["type"],
        "description": str(known["facts"].get("description", "")),
        "framework": known["framework"],
        "version": known["version"],
        "labels": dict(list(known["labels"].items())[:MOST_LABELS]),
        "capabilities": known["capabilities"],
        "endpoints": known["endpoints"][:MOST_TEXTS],
        "signals": known["signals"],
        "evidence": evidence_of(found),
    }


def _remember(connection: sqlite3.Connection, entry: Entry, now: float) -> None:
    """Note what was reported, and what is gone, in the caller's transaction."""
    gone(connection, entry.places)
    if entry.change is Change.UNCHANGED:
        seen(connection, entry.found.places, now)
    elif entry.change is not Change.STALE:
        for sighting in entry.found.sightings:
            row = Row(sighting.place, entry.kind, entry.name, written(sighting), True)
            keep(connection, row, now)
