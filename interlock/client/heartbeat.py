"""Says in the background that an agent lives, for as long as a block runs."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from interlock.client.errors import ClientError

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats at once and then every `interval_s`; one that fails is not the last."""

    def __init__(self, beat: Callable[[], None], interval_s: float) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interlock-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        while True:
            try:
                self._beat()
            except ClientError as e:
                log.warning("heartbeat: %s", e)
            if self._stop.wait(self._interval_s):
                return
