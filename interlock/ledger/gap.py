"""Remembers what could not be written, so that the first write that succeeds tells of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from interlock.ledger.chain import Event


@dataclass(frozen=True, slots=True)
class Missing:
    """Since when nothing was taken, and how many writes that were."""

    since: float
    writes: int = 0


class Gap:
    """The time in which the ledger took nothing; safe to share between threads."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._lock = threading.Lock()
        self._missing: Missing | None = None

    def take(self) -> Missing | None:
        """What has to be told, for whoever tells it now; None when nothing is missing."""
        if self._missing is None:
            return None
        with self._lock:
            missing, self._missing = self._missing, None
            return missing

    def missed(self, untold: Missing | None) -> None:
        """Count a write that failed; what it was to tell has still to be told."""
        before = untold or Missing(time.time())
        with self._lock:
            now = self._missing or Missing(before.since)
            since = min(now.since, before.since)
            self._missing = Missing(since, now.writes + before.writes + 1)

    def event(self, missing: Missing) -> Event:
        """The event that tells of it."""
        now = time.time()
        body = {"since": missing.since, "until": now, "writes": missing.writes}
        return Event(self._new_id("gap"), now, "gap", body=body)
