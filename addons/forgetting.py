"""Forgets who was not heard of for long, beside the calls, for as long as the front door runs."""

import asyncio
import logging

from addons.door import Door
from interlock.errors import StoreError
from interlock.forgetting import EVERY_S, Forgetting

log = logging.getLogger(__name__)


class Forget:
    """Looks once a minute; of several workers, the one whose turn it is does the work."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        if governor := self._door.governor:
            forgetting = Forgetting(governor.installation)
            self._task = asyncio.get_running_loop().create_task(_run(forgetting))

    def done(self) -> None:
        """Stop looking."""
        if self._task:
            self._task.cancel()


async def _run(forgetting: Forgetting) -> None:
    while True:
        try:
            await asyncio.to_thread(forgetting.tick)
        except StoreError as e:
            log.warning("cannot forget who was not heard of for long: %s", e)
        await asyncio.sleep(EVERY_S)
