"""Closes the calls of front doors that died, at the start and whenever another one dies."""

import asyncio
import logging
import time
from functools import partial

from addons.background import Background
from addons.door import Door
from interlock.errors import StoreError
from interlock.governor import Governor
from interlock.ledger.settlement import settle
from interlock.store.run import any_dead, is_alive

log = logging.getLogger(__name__)

POLL_S = 2.0


class Settlement:
    """Looks for runs that ended without a word; their open calls get the outcome `unknown`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._background = Background()

    def running(self) -> None:
        """Begin to look."""
        if governor := self._door.governor:
            self._background.begin(partial(_watch, governor))

    def done(self) -> None:
        """Stop looking."""
        self._background.stop()


async def _watch(governor: Governor) -> None:
    is_due = True
    while True:
        if is_due:
            is_due = not await asyncio.to_thread(_settle, governor)
        await asyncio.sleep(POLL_S)
        is_due = await asyncio.to_thread(any_dead, governor.installation.settings.runs) or is_due


def _settle(governor: Governor) -> bool:
    """Settle what is open; False when it has to be tried again."""
    records = governor.installation
    alive = partial(is_alive, records.settings.runs)
    try:
        count = settle(records.ledger, alive, time.time())
    except StoreError as e:
        log.warning("the calls of a process that died cannot be closed: %s", e)
        return False
    if count:
        log.warning("%s calls of a process that died have no known outcome", count)
    return True
