"""Looks names up on threads of its own, of which nobody gets more than a few at once.

A name whose server never answers holds its thread for half a minute. On the threads that all work
shares, one agent with a handful of such names would keep every other from its upstream, and a
changed policy from coming into force.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from weakref import WeakValueDictionary

from addons.addresses import Address
from interlock.model import Authority

THREADS, EACH = 64, 4


class Lookup:
    """The system's resolver, for one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lookup")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def addresses(self, authority: Authority, who: str) -> list[Address]:
        """Every address of a name, looked up for `who`; raises OSError when there is none."""
        turn = self._turns.setdefault(who, asyncio.Semaphore(EACH))
        await turn.acquire()
        found = self._threads.submit(_look_up, authority)
        # Not when the caller is gone, but when the thread is free again.
        found.add_done_callback(_giving_back(turn))
        return await asyncio.wrap_future(found)


def _look_up(authority: Authority) -> list[Address]:
    answers = socket.getaddrinfo(authority.host, authority.port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _giving_back(turn: asyncio.Semaphore) -> Callable[[Future[list[Address]]], None]:
    loop = asyncio.get_running_loop()

    def give_back(_: Future[list[Address]]) -> None:
        with suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(turn.release)

    return give_back
