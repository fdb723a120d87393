"""Carries decisions from one event loop to the writing thread, and the answers of the disk back."""

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Sequence

from interlock.errors import LedgerUnavailableError
from interlock.ledger.chain import Event
from interlock.ledger.entry import Also, Entry, Pen
from interlock.store import Database
from interlock.store.job import Wake


class Decision(Entry):
    """An entry for which a call waits, twice: until a transaction has it, and until the disk has.

    `waiting` is for the next of these answers.
    """

    __slots__ = ("courier", "waiting")

    def __init__(
        self,
        courier: "Courier",
        pen: Pen,
        events: Sequence[Event],
        tokens: Sequence[str],
        expires_at: float,
        also: Also | None,
    ) -> None:
        super().__init__(pen, events, tokens, expires_at, also)
        self.courier = courier
        self.waiting: asyncio.Future[None] = courier.loop.create_future()

    def begin(self) -> bool:
        if self.waiting.done():  # its call is gone, or has been refused
            self.pen.gap.missed(None)
            return False
        return True

    def written(self) -> Wake:
        self.courier.news.append((self, False))
        return self.courier.wake

    def over(self) -> Wake:
        super().over()
        self.courier.news.append((self, True))
        return self.courier.wake

    async def answer(self) -> None:
        """Wait for the next answer; raises LedgerUnavailableError, or what `also` raises."""
        try:
            await self.waiting
        except (sqlite3.Error, ValueError, TypeError, TimeoutError) as e:
            raise LedgerUnavailableError(
                f"the decision is not on disk: {str(e) or 'timed out'}"
            ) from e


class Courier:
    """What a turn of the loop decides is handed over together, and what a commit settles comes
    back together: each side is woken once. Nobody waits for longer than the deadline.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, database: Database, deadline_s: float
    ) -> None:
        self.loop = loop
        # What other threads have for this loop: a decision, and whether that is all about it.
        self.news: deque[tuple[Decision, bool]] = deque()
        self._database = database
        self._deadline_s = deadline_s
        self._leaving: list[Decision] = []
        # Who waits, and until when, in that order.
        self._waiting: dict[Decision, float] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._woken = False

    def carry(self, decision: Decision) -> None:
        """Take a decision along."""
        if not self._leaving:
            self.loop.call_soon(self._leave)
        self._leaving.append(decision)

    def wake(self) -> None:
        """Have the loop, from another thread, look at the news."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # it is closed, and nobody waits in it
                self.loop.call_soon_threadsafe(self._deliver)

    def _leave(self) -> None:
        leaving = [decision for decision in self._leaving if not decision.waiting.done()]
        self._leaving.clear()
        until = self.loop.time() + self._deadline_s
        self._waiting.update(dict.fromkeys(leaving, until))
        if leaving and self._watch is None:
            self._watch = self.loop.call_at(until, self._give_up)
        self._database.hand_over(leaving)

    def _deliver(self) -> None:
        self._woken = False  # first, so that whatever is news from now on wakes the loop again
        while self.news:
            decision, is_over = self.news.popleft()
            waiting = decision.waiting
            if is_over:
                self._waiting.pop(decision, None)
            if waiting.done():
                continue
            if not is_over:
                decision.waiting = self.loop.create_future()
            if is_over and decision.error is not None:
                _fail(waiting, decision.error)
            else:
                waiting.set_result(None)

    def _give_up(self) -> None:
        """Tell those whose time is over, and look again when that of the next would be."""
        self._watch, now = None, self.loop.time()
        for decision, until in list(self._waiting.items()):
            if until > now:
                self._watch = self.loop.call_at(until, self._give_up)
                return
            del self._waiting[decision]
            if not decision.waiting.done():
                _fail(decision.waiting, TimeoutError())


def _fail(waiting: asyncio.Future[None], error: Exception) -> None:
    """Tell a call, if it still is there: one that is gone between its answers asks for none."""
    waiting.set_exception(error)
    waiting.exception()  # so that asyncio does not log that nobody has asked
