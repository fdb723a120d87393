"""What the loop decides goes to the writing thread together, and comes back together."""

import asyncio
import gc
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import LedgerUnavailableError
from interlock.ledger import Event, Ledger
from interlock.store import Database
from interlock.store.writer import Transaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "interlock.db") as database:
        yield database


@contextmanager
def held(database: Database) -> Iterator[None]:
    """A time in which the disk takes nothing."""
    busy, go = threading.Event(), threading.Event()

    def stuck(_: sqlite3.Connection) -> None:
        busy.set()
        go.wait(30)

    database.submit(stuck)
    assert busy.wait(10)
    try:
        yield
    finally:
        go.set()


def decision(number: int) -> Event:
    """One decision."""
    return Event(f"evt_{number}", 1.0, "decision", "a", f"dec_{number}")


async def test_what_is_settled_together_wakes_the_loop_once_for_each_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of each: done, failed, or given up; and what fails takes nobody with it."""
    loop = asyncio.get_running_loop()
    woken, wake = [], loop.call_soon_threadsafe

    def note(*call: Any) -> Any:
        woken.append(call)
        return wake(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", note)
    ledger = Ledger(database)
    with held(database):
        tokens = ["one", "two", "two", "three", "four"]
        calls = [
            asyncio.create_task(ledger.decide([decision(at)], tokens=[token], expires_at=1e12))
            for at, token in enumerate(tokens)
        ]
        await asyncio.sleep(0.01)
        calls[4].cancel()
        await asyncio.sleep(0)
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert len(woken) == 2  # that it is written, and that it is on disk
    assert [found[at] for at in (0, 1, 3)] == [None] * 3
    assert isinstance(found[2], LedgerUnavailableError)
    assert isinstance(found[4], asyncio.CancelledError)
    written = [event["id"] for event in ledger.tail(9) if event["kind"] == "decision"]
    assert written == ["evt_0", "evt_1", "evt_3"]
    assert ledger.verify().intact


@pytest.mark.parametrize("error", [None, sqlite3.OperationalError("disk I/O error")], ids=repr)
async def test_what_is_written_is_told_before_it_is_on_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """And whether the disk has it, afterwards; what it refused is not there."""
    at_commit, go = threading.Event(), threading.Event()
    execute = Transaction.execute

    def held(connection: Transaction, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "commit" and not go.is_set():
            at_commit.set()
            go.wait(30)
            if error:
                raise error
        return execute(connection, sql, *values)

    monkeypatch.setattr(Transaction, "execute", held)
    ledger = Ledger(database)
    async with asyncio.timeout(5):
        entered = await ledger.enter([decision(1)])
        answer = asyncio.create_task(entered.answer())
        await asyncio.to_thread(at_commit.wait)
        assert not answer.done()
        go.set()
        if error is None:
            await answer
        else:
            with pytest.raises(LedgerUnavailableError, match="not on disk: disk I/O error"):
                await answer
    there = [event["id"] for event in ledger.tail(9) if event["kind"] == "decision"]
    assert there == ([] if error else ["evt_1"])


async def test_what_nobody_waits_for_any_more_is_no_error_of_anybodys(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is gone between its two answers."""
    noted: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noted.append(context))
    ledger = Ledger(database)
    with held(database):
        task = asyncio.create_task(ledger.decide([decision(1)]))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
    await ledger.decide([decision(2)])
    assert not noted


@pytest.mark.parametrize("deadline_s", [5.0, 0.1], ids=["refused", "too late"])
async def test_what_the_disk_says_to_nobody_is_no_error_of_anybodys(
    database: Database, monkeypatch: pytest.MonkeyPatch, deadline_s: float
) -> None:
    """A call that is gone after its first answer, before it has asked for the second."""
    noted: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noted.append(context))
    # What is logged is kept for the report, and with its traceback all that it is about.
    monkeypatch.setattr(logging.getLogger("interlock.store.writer"), "disabled", True)
    at_commit, go, execute = threading.Event(), threading.Event(), Transaction.execute

    def refused(connection: Transaction, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "commit" and not at_commit.is_set():
            at_commit.set()
            go.wait(30)
            raise sqlite3.OperationalError("disk I/O error")
        return execute(connection, sql, *values)

    monkeypatch.setattr(Transaction, "execute", refused)
    ledger = Ledger(database, deadline_s=deadline_s)
    entered = await ledger.enter([decision(1)])
    await asyncio.to_thread(at_commit.wait)
    if deadline_s > 1:
        go.set()
    await asyncio.wait([entered.waiting], timeout=5)
    go.set()
    del entered
    await ledger.decide([decision(2)])
    gc.collect()
    assert not noted


async def test_what_is_settled_later_wakes_it_again(database: Database) -> None:
    """Nobody waits for an answer that is there."""
    ledger = Ledger(database)
    for number in range(3):
        async with asyncio.timeout(5):
            await ledger.decide([decision(number)])


async def test_nobody_waits_for_longer_than_the_deadline(database: Database) -> None:
    """Each from when it was handed over; who asks later waits as long, and is not written."""
    ledger = Ledger(database, deadline_s=0.3)
    loop = asyncio.get_running_loop()

    async def waited(number: int) -> float:
        began = loop.time()
        with pytest.raises(LedgerUnavailableError, match="timed out"):
            await ledger.decide([decision(number)])
        return loop.time() - began

    with held(database):
        first = asyncio.create_task(waited(1))
        await asyncio.sleep(0.1)
        took = await asyncio.gather(first, waited(2))
    assert all(0.29 < each < 5 for each in took)
    await ledger.decide([decision(3)])
    events = ledger.tail(9)
    assert [event["id"] for event in events if event["kind"] == "decision"] == ["evt_3"]
    assert [event["body"]["writes"] for event in events if event["kind"] == "gap"] == [2]


def test_another_loop_has_a_courier_of_its_own(database: Database) -> None:
    """What a closed loop still waited for is given up, and hurts nobody."""
    ledger = Ledger(database)

    async def leave() -> None:
        task = asyncio.create_task(ledger.decide([decision(1)]))
        await asyncio.sleep(0.01)
        del task

    with held(database):
        asyncio.run(leave())
    asyncio.run(ledger.decide([decision(2)]))
    assert [event["id"] for event in ledger.tail(9) if event["kind"] == "decision"] == ["evt_2"]


@pytest.mark.parametrize("context", [Context(), copy_context()], ids=["empty", "that of a test"])
async def test_what_goes_with_an_event_is_done_on_whosever_behalf(
    database: Database, context: Context
) -> None:
    """Also where nobody has set a variable: a context without any counts as false."""
    ledger, done = Ledger(database), []

    def deciding(number: int) -> asyncio.Task[None]:
        work = ledger.decide([decision(number)], also=lambda _: done.append("decided"))
        return asyncio.get_running_loop().create_task(work, context=context.copy())

    context.copy().run(ledger.submit, lambda _: done.append("submitted"))
    await context.copy().run(deciding, 1)
    await asyncio.to_thread(ledger.flush)
    assert sorted(done) == ["decided", "submitted"]
