"""Remembers what could not be written, so that the first write that succeeds tells of it."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from interlock.ledger.chain import Event

type Append = Callable[[sqlite3.Connection, Sequence[Event]], None]


@dataclass(slots=True)
class _Missing:
    since: float
    writes: int = 0


class Gap:
    """The time in which the ledger took nothing; safe to share between threads."""

    def __init__(self, new_id: Callable[[str], str], append: Append) -> None:
        self._new_id = new_id
        self._append = append
        self._lock = threading.Lock()
        self._missing: _Missing | None = None

    def closing[T](
        self, work: Callable[[sqlite3.Connection], T]
    ) -> tuple[Callable[[sqlite3.Connection], T], Callable[[Future[T]], None]]:
        """Return `work` that tells of a gap too, and what to do when it is over."""
        telling: list[_Missing] = []

        def told(connection: sqlite3.Connection) -> T:
            result = work(connection)
            if not telling and (missing := self._take()):
                telling.append(missing)
            for missing in telling:
                self._append(connection, [self._event(missing)])
            return result

        return told, partial(self._over, telling)

    def _over(self, telling: list[_Missing], future: Future[Any]) -> None:
        """Count a write that failed; what it was to tell has still to be told."""
        lost = future.cancelled() or isinstance(future.exception(), sqlite3.Error)
        if not lost:
            return
        before = telling[0] if telling else _Missing(time.time())
        with self._lock:
            now = self._missing or _Missing(before.since)
            since = min(now.since, before.since)
            self._missing = _Missing(since, now.writes + before.writes + 1)

    def _take(self) -> _Missing | None:
        with self._lock:
            missing, self._missing = self._missing, None
            return missing

    def _event(self, missing: _Missing) -> Event:
        now = time.time()
        body = {"since": missing.since, "until": now, "writes": missing.writes}
        return Event(self._new_id("gap"), now, "gap", body=body)
