"""Brings what the writing thread has settled to the event loop that waits, a commit in one go."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial


class Answers:
    """The way from other threads to one loop: it is woken once for all that is settled together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._settled: deque[tuple[asyncio.Future[None], Future[None]]] = deque()
        self._woken = False

    def expect(self, future: Future[None]) -> asyncio.Future[None]:
        """What to await for the answer of a future of another thread; called in the loop."""
        waiting: asyncio.Future[None] = self.loop.create_future()
        settle: Callable[[Future[None]], None] = partial(self._settle, waiting)
        future.add_done_callback(settle)
        return waiting

    def _settle(self, waiting: asyncio.Future[None], future: Future[None]) -> None:
        self._settled.append((waiting, future))
        if not self._woken:
            self._woken = True
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # first, so that whatever is settled from now on wakes the loop again
        while self._settled:
            waiting, future = self._settled.popleft()
            if waiting.done():
                continue
            if future.cancelled():
                waiting.cancel()
            elif error := future.exception():
                waiting.set_exception(error)
            else:
                waiting.set_result(None)
