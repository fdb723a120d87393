"""Posts the news of this installation to its webhooks, beside the calls and never before them."""

import asyncio
import logging

from addons.door import Door
from interlock.alerts.sender import Sender


class Webhooks:
    """Runs the sender as long as the front door runs."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._sender: Sender | None = None
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to send. The URL of a webhook may hold a key, so httpx must not log it."""
        if self._door.governor is None:
            return
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._sender = Sender(self._door.governor.installation)
        self._task = asyncio.get_running_loop().create_task(self._sender.run())

    def done(self) -> None:
        """Stop; what is under way is sent again by whoever sends next."""
        if self._sender and self._task:
            self._task.cancel()
            self._sender.stop()
