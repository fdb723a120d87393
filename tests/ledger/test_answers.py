"""What is settled in another thread arrives in the loop that waits for it."""

import asyncio
import sqlite3
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from interlock.ledger.answers import Answers


async def test_what_is_settled_together_wakes_the_loop_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever became of each: done, failed, given up by one side or by the other."""
    loop = asyncio.get_running_loop()
    woken, wake = [], loop.call_soon_threadsafe

    def note(*call: Any) -> Any:
        woken.append(call)
        return wake(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", note)
    answers = Answers(loop)
    done, failed, cancelled, unheard = futures = [Future[None]() for _ in range(4)]
    waiting = [answers.expect(each) for each in futures]
    waiting[3].cancel()

    def settle() -> None:
        done.set_result(None)
        failed.set_exception(sqlite3.OperationalError("full"))
        cancelled.cancel()
        unheard.set_result(None)

    thread = threading.Thread(target=settle)
    thread.start()
    thread.join()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(woken) == 1
    assert found[0] is None
    assert isinstance(found[1], sqlite3.OperationalError)
    assert isinstance(found[2], asyncio.CancelledError)


async def test_what_is_settled_later_wakes_it_again() -> None:
    """Nobody waits for an answer that is there."""
    answers = Answers(asyncio.get_running_loop())
    for _ in range(3):
        future: Future[None] = Future()
        waiting = answers.expect(future)
        threading.Timer(0.01, future.set_result, [None]).start()
        async with asyncio.timeout(5):
            await waiting
