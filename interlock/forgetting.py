"""Who was not heard of for long is forgotten, unless somebody judged it; one process at a time."""

import sqlite3
import time
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from itertools import batched

from interlock.discovery.sighting import Kind
from interlock.installation import Installation
from interlock.ledger.ledger import act_as, new_id
from interlock.store import AT_ONCE
from interlock.store.sightings import forget, vanished
from interlock.store.turns import take

# For so long one stays that is not heard of any more, after its lease has lapsed or it went stale.
KEEP_S = 86400.0
EVERY_S = 60.0
TURN = "forgetting"


class Forgetting:
    """One for each process that lasts; of several over one store, one a minute does the work."""

    def __init__(self, installation: Installation) -> None:
        self._records = installation
        self._due = 0.0

    def tick(self, now: float | None = None) -> list[str]:
        """Forget who is due, and answer their names; costs nothing until a minute has passed.

        `now` is in epoch seconds. Raises StoreError.
        """
        now = time.time() if now is None else now
        if now < self._due:
            return []
        self._due = until = now + EVERY_S
        # A turn that nobody holds twice is a timetable for all processes.
        if not self._records.database.write(lambda c: take(c, TURN, new_id("fgt"), now, until)):
            return []
        return copy_context().run(self._forget, now - KEEP_S)

    def _forget(self, before: float) -> list[str]:
        act_as("interlock")
        records = self._records
        leased = records.registry.sweep(before, 0) + records.servers.sweep(before, 0)
        gone = records.database.read(lambda c: vanished(c, before))
        for some in batched([name for _, name in gone], AT_ONCE):
            leased += records.database.write(partial(self._forget_vanished, before, some))
        return leased

    def _forget_vanished(
        self, before: float, names: Sequence[str], connection: sqlite3.Connection
    ) -> list[str]:
        """Forget what of these discovery found here and has not seen again since."""
        gone = vanished(connection, before, names)
        of = {kind: [name for each, name in gone if each == kind] for kind in Kind}
        dropped = self._records.registry.drop(connection, of[Kind.AGENT])
        dropped += self._records.servers.drop(connection, of[Kind.SERVER])
        for kind, name in gone:
            forget(connection, kind, name)
        return dropped
