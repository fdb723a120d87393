"""Forgets who was not heard of for long, beside the calls, for as long as the front door runs."""

import asyncio
import logging
from functools import partial

from addons.background import Background
from addons.door import Door
from interlock.errors import StoreError
from interlock.forgetting import EVERY_S, Forgetting

log = logging.getLogger(__name__)


class Forget:
    """Looks once a minute; of several workers, the one whose turn it is does the work."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._background = Background()

    def running(self) -> None:
        """Begin to look."""
        if governor := self._door.governor:
            self._background.begin(partial(_run, Forgetting(governor.installation)))

    def done(self) -> None:
        """Stop looking."""
        self._background.stop()


async def _run(forgetting: Forgetting) -> None:
    while True:
        try:
            await asyncio.to_thread(forgetting.tick)
        except StoreError as e:
            log.warning("cannot forget who was not heard of for long: %s", e)
        await asyncio.sleep(EVERY_S)
