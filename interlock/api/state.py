"""What all routes share: the installation, the policies in force, heartbeats that wait."""

import threading
import time
from collections.abc import Iterable

from fastapi import Request
from starlette.exceptions import HTTPException

from interlock.apdp import Intents, Policies, PolicyFolder
from interlock.api.throttle import Throttle
from interlock.coverage import require_coverage
from interlock.forgetting import Forgetting
from interlock.installation import Installation
from interlock.rates import Rates


class Api:
    """One serving process over one installation."""

    def __init__(self, records: Installation) -> None:
        """Raises PolicyError when there is no policy set to answer by."""
        self.records = records
        self.throttle = Throttle()
        self.forgetting = Forgetting(records)
        self.folder = PolicyFolder(records.settings.policies)
        self._beats: dict[str, dict[str, float]] = {"agent": {}, "server": {}}
        self._lock = threading.Lock()
        self._rates = Rates(records.settings.rates)

    def rate(self, agent: str) -> float:
        """Count one more request of an agent, with those at the front doors of this home.

        Answers for how many seconds to stay away; 0 for not at all. What is asked is recorded:
        without an end to it an agent could fill the ledger.
        """
        return self._rates.take(agent, self.records.settings.max_rate, time.monotonic())

    def close(self) -> None:
        """Write the heartbeats that wait, and give back what is shared; raises StoreError."""
        self._rates.close()
        self.flush()

    def policies(self) -> tuple[Policies, Intents]:
        """The policies in force, as the files stand now; a broken set changes nothing."""
        with self._lock:
            self.folder.reload(self._adopt)
            return self.folder.current, self.folder.intents

    def beat(self, kind: str, names: Iterable[str]) -> None:
        """Note heartbeats; they are written together, within a second."""
        now = time.time()
        with self._lock:
            self._beats[kind] |= dict.fromkeys(names, now)

    def flush(self) -> None:
        """Write the heartbeats that wait, each kind in one transaction; raises StoreError."""
        with self._lock:
            beats, self._beats = self._beats, {"agent": {}, "server": {}}
        if beats["agent"]:
            self.records.registry.heartbeats(beats["agent"])
        if beats["server"]:
            self.records.servers.heartbeats(beats["server"])

    def _adopt(self, policies: Policies, _: Intents) -> None:
        require_coverage(policies, self.records.catalogue)


def api_of(request: Request) -> Api:
    """The state that belongs to a request's application."""
    api: Api = request.app.state.api
    return api


def found[T](value: T | None, what: str) -> T:
    """Answer a value that is there; raises 404."""
    if value is None:
        raise HTTPException(404, f"there is no {what}")
    return value
