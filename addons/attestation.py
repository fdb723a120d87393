"""Has the ledger kept up while the front door runs, without a call ever waiting for it."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from addons.background import Background
from addons.door import Door
from interlock.errors import StoreError

log = logging.getLogger(__name__)

POLL_S = 1.0


class Attestation:
    """Asks every second whether a checkpoint is due, or a count of refused proofs.

    What the ledger did not take of what nobody waited for, such as outcomes, is written again.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._background = Background()

    def running(self) -> None:
        """Begin to ask."""
        self._background.begin(self._watch)

    def done(self) -> None:
        """Stop asking, and attest how the ledger stands at the end."""
        self._background.stop()
        if governor := self._door.governor:
            governor.knocks.tell(time.time())
            _kept_up(governor.installation.ledger.say_again)
            governor.installation.notary.attest(time.time())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            governor = self._door.governor
            if governor is None:
                continue
            governor.knocks.tell_when_due(time.time())
            records = governor.installation
            await asyncio.to_thread(_kept_up, records.ledger.say_again)
            await asyncio.to_thread(_kept_up, partial(records.notary.attest_when_due, time.time()))


def _kept_up(task: Callable[[], object]) -> None:
    try:
        task()
    except StoreError as e:
        log.warning("the ledger cannot be kept up: %s", e)
