"""One thread that writes: many transactions ride on one durable commit (group commit)."""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

log = logging.getLogger(__name__)

type Work = Callable[[sqlite3.Connection], Any]
type Job = tuple[Work, Future[Any]]

MOST_PER_COMMIT = 256


class Writer:
    """Runs work on its own connection and answers once the work is on disk.

    Each piece of work is all or nothing (a savepoint): one that raises takes nothing of the
    others with it. When the commit itself fails, every piece of that commit fails.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    def submit[T](self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue `work`; the future answers with its result after a durable commit."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(sqlite3.ProgrammingError("the store is closed"))
            return future
        # So that the work knows on whose behalf it is done, as its caller does.
        context = copy_context()
        self._jobs.put((lambda connection: context.run(work, connection), future))
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
        """Wait for one job, then take those that are waiting already; empty means stop."""
        job = self._jobs.get()
        batch: list[Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == MOST_PER_COMMIT or self._jobs.empty():
                return batch
            job = self._jobs.get()
        if batch:
            self._jobs.put(None)
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        connection.execute("begin immediate")
        for work, future in batch:
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
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection that may be broken; the next batch opens a new one."""
    if connection is not None:
        connection.close()
