"""One thread that writes: many transactions ride on one durable commit (group commit)."""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

log = logging.getLogger(__name__)

type Work = Callable[[sqlite3.Connection], Any]
type Job = tuple[Work, Future[Any], bool]

MOST_PER_COMMIT = 256
# Beyond it more waiting would help nobody: those in front take longer than anyone waits.
MOST_WAITING = 4_096
# How long a write that nobody waits for may wait for company, in seconds.
PATIENCE_S = 0.05


class Writer:
    """Runs work on its own connection and answers once the work is on disk.

    Each piece of work is all or nothing (a savepoint): one that raises takes nothing of the
    others with it. When the commit itself fails, every piece of that commit fails. When more waits
    than it can take, it refuses at once: whoever submits is never blocked.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many pieces of work nobody has begun with yet."""
        return self._jobs.qsize()

    def submit[T](
        self, work: Callable[[sqlite3.Connection], T], *, patient: bool = False
    ) -> Future[T]:
        """Queue `work`; the future answers with its result after a durable commit.

        What is patient rides along with the next commit that somebody waits for, if that comes
        soon, and costs no commit of its own. The future fails with sqlite3.Error.
        """
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(sqlite3.ProgrammingError("the store is closed"))
        elif (waiting := self.waiting) >= MOST_WAITING:
            said = f"the store is behind: {waiting} writes are waiting for the disk"
            future.set_exception(sqlite3.OperationalError(said))
        else:
            # So that the work knows on whose behalf it is done, as its caller does.
            context = copy_context()
            self._jobs.put((lambda connection: context.run(work, connection), future, patient))
        return future

    def close(self) -> None:
        """Write what is queued and stop; safe to call twice."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while batch := self._next_batch():
            try:
                connection = connection or self._connect()
                self._commit(connection, batch)
            except sqlite3.Error as e:
                log.error("the store did not take %s writes: %s", len(batch), e)
                _fail(batch, e)
                _drop(connection)
                connection = None
        _drop(connection)

    def _next_batch(self) -> list[Job]:
        """Wait for one job, then take those that are waiting already; empty means stop.

        As long as every job is patient, wait for one that is not.
        """
        batch: list[Job] = []
        job = self._jobs.get()
        until = time.monotonic() + PATIENCE_S
        is_patient = True
        while job is not None:
            batch.append(job)
            is_patient = is_patient and job[2]
            if len(batch) == MOST_PER_COMMIT:
                return batch
            try:
                wait = until - time.monotonic() if is_patient else 0.0
                job = self._jobs.get(timeout=max(0.0, wait))
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        connection.execute("begin immediate")
        for work, future, _ in batch:
            if not future.set_running_or_notify_cancel():
                continue
            connection.execute("savepoint work")
            try:
                done.append((future, work(connection)))
            except Exception as e:  # noqa: BLE001 - handed to whoever submitted the work
                connection.execute("rollback to work")
                future.set_exception(e)
            connection.execute("release work")
        connection.execute("commit")
        for future, result in done:
            future.set_result(result)


def _fail(batch: list[Job], error: sqlite3.Error) -> None:
    for _, future, _ in batch:
        if not future.done():
            future.set_exception(error)


def _drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection that may be broken; the next batch opens a new one."""
    if connection is not None:
        connection.close()
