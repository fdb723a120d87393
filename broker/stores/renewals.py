"""Whatever is lent for a time is renewed when two thirds of it are over, by one thread."""

import logging
import threading
import time
from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)

SHORTEST_S = 0.5  # no lease makes us renew more often than this


class Renewals:
    """Call `renew` of each lease in time; it answers the seconds that are left, 0 for over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Hashable, tuple[float, Callable[[], float]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def keep(self, key: Hashable, seconds: float, renew: Callable[[], float]) -> None:
        """Renew the lease called `key`, in place of one that had that name."""
        with self._changed:
            self._due[key] = (_moment(seconds), renew)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="renewals", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, key: Hashable) -> None:
        """Renew it no more."""
        with self._changed:
            self._due.pop(key, None)

    def close(self) -> None:
        """Renew nothing any more."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _run(self) -> None:
        while (key := self._next()) is not None:
            with self._changed:
                entry = self._due.get(key)
            if entry is None:
                continue
            left = _renewed(entry[1])
            with self._changed:
                if self._due.get(key) is not entry:
                    continue  # dropped or replaced meanwhile
                if left > 0:
                    self._due[key] = (_moment(left), entry[1])
                else:
                    del self._due[key]

    def _next(self) -> Hashable | None:
        """Wait for the moment of the next renewal, and answer whose; None at the end."""
        with self._changed:
            while not self._closed:
                if not self._due:
                    self._changed.wait()
                    continue
                key = min(self._due, key=lambda each: self._due[each][0])
                left = self._due[key][0] - time.monotonic()
                if left <= 0:
                    return key
                self._changed.wait(left)
        return None


def _moment(seconds: float) -> float:
    return time.monotonic() + max(SHORTEST_S, seconds * 2 / 3)


def _renewed(renew: Callable[[], float]) -> float:
    try:
        return renew()
    except Exception as e:  # noqa: BLE001 - one lease must not end all others; words may quote
        log.error("a lease is not renewed: %s", type(e).__name__)
        return 0
