"""Work beside the calls, for as long as the front door runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

AGAIN_S = 1.0


class Background:
    """One task, begun anew whenever it fails: nobody waits for it who would see that it died."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin on the running loop."""
        self._task = asyncio.get_running_loop().create_task(_keep_up(work))

    def stop(self) -> None:
        """Stop, whether it ever began or not."""
        if self._task:
            self._task.cancel()


async def _keep_up(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await work()
        except Exception:
            log.exception("interlock: what runs beside the calls has failed and begins anew")
            await asyncio.sleep(AGAIN_S)
