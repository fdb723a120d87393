"""Fetched values, for at most a set time: one fetch at a time for each name, in its own thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from broker.errors import BrokerError, SecretUnavailableError
from broker.secret import Secret
from broker.stores.store import Fetched

DEADLINE_S = 10.0  # how long a call waits for a store; a login and a read fit in


class Flight:
    """One fetch, under way or landed; whoever asks meanwhile waits for the same."""

    __slots__ = ("_began", "_clock", "ends", "future", "version")

    def __init__(self, version: bytes, clock: Callable[[], float]) -> None:
        self.version = version
        self.future: Future[Secret] = Future()
        self.future.set_running_or_notify_cancel()  # whoever stops waiting does not stop it
        self.ends = 0.0
        self._clock = clock
        self._began = clock()

    @property
    def patience(self) -> float:
        """How many seconds it is worth waiting still."""
        return max(0.0, self._began + DEADLINE_S - self._clock())

    def stands(self, now: float) -> bool:
        """Say whether it may answer a call that comes now."""
        return not self.future.done() or (self.future.exception() is None and now < self.ends)

    def fly(self, fetch: Callable[[], Fetched], seconds: float) -> None:
        """Fetch, which raises BrokerErrors only; time counts from before the store was asked."""
        try:
            fetched = fetch()
        except BrokerError as e:
            self.future.set_exception(e)
            return
        self.ends = self._began + min(seconds, fetched.seconds)
        self.future.set_result(fetched.secret)


class Cache:
    """Keep the value of each name until its time is over or its version is another."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._versions: dict[str, bytes] = {}  # outlive the values, so that a change is noticed

    def ask(
        self,
        name: str,
        version: bytes,
        fetch: Callable[[], Fetched],
        forget: Callable[[], None],
    ) -> Flight:
        """Return a flight that has the value or will; `forget` runs first in another version."""
        with self._lock:
            now = self._clock()
            flight = self._flights.get(name)
            if flight and flight.version == version and flight.stands(now):
                return flight
            if self._versions.setdefault(name, version) != version:
                self._versions[name] = version
                forget()
            self._flights = {k: f for k, f in self._flights.items() if f.stands(now)}
            flight = self._flights[name] = Flight(version, self._clock)
        work = (fetch, self._seconds)
        try:
            threading.Thread(target=flight.fly, args=work, name="fetch", daemon=True).start()
        except RuntimeError:
            why = "there are too many threads"
            flight.future.set_exception(SecretUnavailableError(name, why))
        return flight
