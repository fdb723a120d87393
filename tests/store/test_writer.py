"""The writing thread: nobody who hands it work is ever kept waiting by it."""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from interlock.store import Database
from interlock.store.job import Job
from interlock.store.writer import MOST_PER_COMMIT, MOST_WAITING, PATIENCE_S


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "interlock.db") as database:
        yield database


def test_a_full_queue_refuses_at_once_and_recovers(database: Database) -> None:
    """With a reason; what was taken is written once the disk answers again."""
    busy, go = threading.Event(), threading.Event()

    def stuck(_: sqlite3.Connection) -> None:
        busy.set()
        go.wait(30)

    database.submit(stuck)
    assert busy.wait(10)
    taken = [database.submit(lambda _: None) for _ in range(MOST_WAITING)]
    refused = database.submit(lambda _: None)
    assert refused.done()
    with pytest.raises(sqlite3.OperationalError, match=f"{MOST_WAITING} writes are waiting"):
        refused.result()
    go.set()
    assert [future.result(30) for future in taken] == [None] * MOST_WAITING
    assert database.submit(lambda _: "again").result(10) == "again"


def test_a_commit_opens_no_file(database: Database) -> None:
    """What would undo a statement of many rows is kept in memory, where it is as good."""
    kept = database.submit(lambda c: c.execute("pragma temp_store").fetchone()[0]).result(10)
    assert kept == 2


def test_what_is_patient_rides_along(database: Database) -> None:
    """It is written with what somebody waits for, in one commit, and not before."""
    order: list[str] = []
    patient = database.submit(lambda _: order.append("patient"), patient=True)
    urgent = database.submit(lambda c: order.append("urgent") or c.in_transaction)
    assert urgent.result(10)
    assert patient.done()
    assert order == ["patient", "urgent"]


def test_what_is_patient_does_not_wait_for_ever(database: Database) -> None:
    """When nobody comes along it has a commit of its own, even when all was quiet for long."""
    for quiet in (0.0, PATIENCE_S * 3):
        time.sleep(quiet)
        assert database.submit(lambda _: "written", patient=True).result(10) == "written"


def test_what_is_written_stands_in_the_order_in_which_it_was_handed_over(
    database: Database,
) -> None:
    """Whether somebody waits for it or not."""
    order: list[int] = []

    def append(number: int, _: sqlite3.Connection) -> None:
        order.append(number)

    many = range(2 * MOST_PER_COMMIT)
    written = [database.submit(partial(append, n), patient=n % 3 > 0) for n in many]
    assert [future.result(30) for future in written] == [None] * len(many)
    assert order == list(many)


def test_what_is_patient_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    """At once, though nobody else came."""
    database = Database(tmp_path / "interlock.db")
    future = database.submit(lambda _: "written", patient=True)
    database.close()
    assert future.result(0) == "written"


def test_nobody_is_left_waiting_by_a_store_that_is_closed(tmp_path: Path) -> None:
    """What is handed over in the moment in which it closes is refused."""
    database = Database(tmp_path / "interlock.db")

    class Late(deque[Job]):
        """Work that is on its way while somebody else closes the store."""

        def extend(self, jobs: Iterable[Job]) -> None:
            database.close()
            super().extend(jobs)

    database.submit(lambda _: None).result(10)
    database._writer._jobs = Late()
    with pytest.raises(sqlite3.ProgrammingError, match="the store is closed"):
        database.submit(lambda _: None).result(1)
