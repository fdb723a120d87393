"""Posts the news of this installation to its webhooks, beside the calls and never before them."""

import logging
from functools import partial

from addons.background import Background
from addons.door import Door
from interlock.alerts.sender import Sender
from interlock.installation import Installation


class Webhooks:
    """Runs the sender as long as the front door runs."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._sender: Sender | None = None
        self._background = Background()

    def running(self) -> None:
        """Begin to send. The URL of a webhook may hold a key, so httpx must not log it."""
        if self._door.governor is None:
            return
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._background.begin(partial(self._send, self._door.governor.installation))

    def done(self) -> None:
        """Stop; what is under way is sent again by whoever sends next."""
        self._background.stop()
        if self._sender:
            self._sender.stop()

    async def _send(self, records: Installation) -> None:
        self._sender = Sender(records)
        await self._sender.run()
