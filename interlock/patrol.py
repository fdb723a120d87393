"""The daemon: looks again every interval and whenever something stirs, until it is told to stop."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from interlock.client.errors import ClientError
from interlock.discovery.sighting import Scanner, Watcher
from interlock.discovery.sweep import Sweep, sweep
from interlock.errors import StoreError
from interlock.forgetting import Forgetting
from interlock.home_inventory import HomeInventory
from interlock.installation import Installation
from interlock.inventory import Entry, Inventory
from interlock.ledger.ledger import new_id
from interlock.registry.addresses import LEASE_S
from interlock.store.turns import give_back, take

log = logging.getLogger(__name__)

# What happens at once, such as the start of a whole Compose project, is one look.
SETTLE_S = 0.3
RENEW_S = LEASE_S / 3
DOCKER = "docker"

type Report = Callable[[Sweep, Sequence[Entry]], None]


class Patrol:
    """Scans, follows what happens between scans, and keeps addresses bound to their agents."""

    def __init__(
        self,
        installation: Installation,
        scanners: Sequence[Scanner],
        interval_s: float,
        inventory: Inventory | None = None,
    ) -> None:
        """What is found goes into `inventory`, which is that of this home when none is given."""
        self._records = installation
        self._inventory = inventory or HomeInventory(installation)
        self._forgetting = Forgetting(installation)
        self._holder = new_id("dsc")
        self._taking = threading.Lock()
        self._mine: set[str] = set()
        self._scanners = scanners
        self._interval_s = interval_s
        self._wake = threading.Condition()
        self._due: set[str] = {one.source for one in scanners}
        self._gone: set[str] = set()
        self._binding = threading.Lock()
        self._watched: set[str] = set()
        self._stopped = threading.Event()

    def run(self, report: Report) -> None:
        """Go on until `stop`; what store or registry refuse is logged, and tried next time.

        Of several daemons over one home, each source is looked at by the one whose turn it is.
        """
        threads = [
            threading.Thread(target=one.watch, args=(self, self._stopped), daemon=True)
            for one in self._scanners
            if isinstance(one, Watcher)
        ]
        renewing = threading.Thread(target=self._renew, daemon=True)
        for thread in (*threads, renewing):
            thread.start()
        try:
            while (due := self._next()) is not None:
                with self._store():
                    self._look(self._in_turn(due), report)
        finally:
            self.stop()
            renewing.join()
            with self._store():
                self._end()

    def stop(self) -> None:
        """End `run`, and the look that is under way; safe to call from a signal handler."""
        self._stopped.set()

    def stirred(self, source: str) -> None:
        """Look at a source soon."""
        with self._wake:
            self._due.add(source)
            self._wake.notify_all()

    def gone(self, container: str) -> None:
        """Take away the addresses of a container, before anybody else can have them."""
        with self._binding, self._store():
            self._gone.add(container)
            self._records.addresses.release(container)

    def live(self, source: str, *, watching: bool) -> None:
        """Remember whether a source tells everything; addresses are renewed only then."""
        (self._watched.add if watching else self._watched.discard)(source)

    def _next(self) -> list[Scanner] | None:
        """Wait for something to look at; None when it is time to stop."""
        deadline = time.monotonic() + self._interval_s
        with self._wake:
            while not self._due and not self._stopped.is_set():
                if time.monotonic() >= deadline:
                    self._due = {one.source for one in self._scanners}
                self._wake.wait(0.2)
        self._stopped.wait(SETTLE_S)
        with self._wake:
            due, self._due = self._due, set()
        return None if self._stopped.is_set() else [s for s in self._scanners if s.source in due]

    def _look(self, due: Sequence[Scanner], report: Report) -> None:
        self._gone.clear()
        seen = sweep(due, self._stopped)
        if self._stopped.is_set() or not due:
            return
        entries = self._inventory.plan(seen)
        self._inventory.apply(seen, entries, time.time())
        docker = [one for one in seen.surveys if one.source == DOCKER]
        if docker and not docker[0].failed and DOCKER in self._watched:
            self._bind(entries)
        report(seen, entries)

    def _in_turn(self, due: Sequence[Scanner]) -> list[Scanner]:
        """Those of them that no other daemon looks at."""
        now_due = {one.source for one in due}
        for source in self._take_turns() - now_due:
            self.stirred(source)
        return [one for one in due if one.source in self._mine]

    def _take_turns(self) -> set[str]:
        """Take or renew the turn of every source, and answer those that fell to us now."""
        sources = [one.source for one in self._scanners]

        def work(connection: sqlite3.Connection) -> set[str]:
            now = time.time()
            until = now + LEASE_S
            return {s for s in sources if take(connection, _turn(s), self._holder, now, until)}

        with self._taking:
            before, self._mine = self._mine, self._records.database.write(work)
            return self._mine - before

    def _end(self) -> None:
        """Give back what is ours, so that another daemon need not wait for it."""
        if DOCKER in self._mine:
            self._records.addresses.release("")
        mine, self._mine = self._mine, set()

        def work(connection: sqlite3.Connection) -> None:
            for source in mine:
                give_back(connection, _turn(source), self._holder)

        self._records.database.write(work)

    def _bind(self, entries: Sequence[Entry]) -> None:
        """Bind addresses, except those of containers that ended while we looked."""
        with self._binding:
            held = self._inventory.holders(entries)
            alive = [one for one in held if one.container not in self._gone]
            self._records.addresses.bind(alive, time.time())

    def _renew(self) -> None:
        while not self._stopped.wait(RENEW_S):
            with self._store():
                for source in self._take_turns():
                    self.stirred(source)
                if DOCKER in self._watched & self._mine:
                    self._records.addresses.renew(time.time())
                self._forgetting.tick()

    @contextlib.contextmanager
    def _store(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, ClientError, sqlite3.Error) as e:
            log.warning("discovery: %s", e)


def _turn(source: str) -> str:
    return f"discovery:{source}"
