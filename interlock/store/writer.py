"""One thread that writes: many transactions ride on one durable commit (group commit)."""

import itertools
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Literal, NamedTuple

log = logging.getLogger(__name__)

type Work = Callable[[sqlite3.Connection], Any]


class Job(NamedTuple):
    """Work in the order in which it was handed over; no two have the same number."""

    number: int
    work: Work
    future: Future[Any]
    plain: bool = False


class Transaction(sqlite3.Connection):
    """The writer's connection. `kept` is what was read in this transaction and holds until its end.

    Nobody else writes meanwhile; whoever changes what is kept here keeps it right.
    """

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self.kept: dict[Any, Any] = {}

    def begin(self) -> None:
        """Begin one, under the lock of all writers."""
        self.execute("begin immediate")
        self.kept = {}


# What wakes the thread and is no work.
WAKE: Literal[False] = False
_numbers, _commits = itertools.count(), itertools.count()

MOST_PER_COMMIT = 256
# Beyond it more waiting would help nobody: those in front take longer than anyone waits.
MOST_WAITING = 4_096
# So much goes into one transaction of work that nobody waits for: decisions wait behind it.
AT_ONCE = 100
# How long a write that nobody waits for may wait for company, in seconds.
PATIENCE_S = 0.05


class Writer:
    """Runs work on its own connection and answers once the work is on disk.

    Each piece of work is all or nothing (a savepoint, spared where all that is written together
    is plain): one that raises takes nothing of the others with it. When the commit itself fails,
    every piece of that commit fails. When more waits than it can take, it refuses at once:
    whoever submits is never blocked.
    """

    # How often any writer of this process has committed what is not plain: what was read before
    # may be old.
    commits = 0

    def __init__(self, connect: Callable[[], Transaction]) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[Job | Literal[False] | None] = queue.SimpleQueue()
        self._patient: deque[Job] = deque()
        self._asleep = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many pieces of work nobody has begun with yet."""
        return self._jobs.qsize()

    def submit[T](
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        patient: bool = False,
        plain: bool = False,
    ) -> Future[T]:
        """Queue `work`; the future answers with its result after a durable commit.

        What is patient rides along with the next commit that somebody waits for, if that comes
        soon, and costs no commit of its own. What is plain adds rows that nobody keeps in memory,
        on nobody's behalf, and can be done again. The future fails with sqlite3.Error.
        """
        future: Future[T] = Future()
        waiting = self._jobs.qsize() + len(self._patient)
        if self._closed:
            future.set_exception(sqlite3.ProgrammingError("the store is closed"))
        elif waiting >= MOST_WAITING:
            said = f"the store is behind: {waiting} writes are waiting for the disk"
            future.set_exception(sqlite3.OperationalError(said))
        else:
            # So that the work knows on whose behalf it is done, as its caller does.
            told: Work = work if plain else partial(_within, copy_context(), work)
            job = Job(next(_numbers), told, future, plain)
            if not patient:
                self._jobs.put(job)
            else:
                self._patient.append(job)
                if self._asleep:
                    self._jobs.put(WAKE)
        return future

    def close(self) -> None:
        """Write what is queued and stop; safe to call twice."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        connection: Transaction | None = None
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
        """Wait for a job, then take what else is waiting, in order; empty means stop."""
        job = self._await()
        urgent: list[Job] = []
        while job:
            urgent.append(job)
            if len(urgent) == MOST_PER_COMMIT:
                return sorted(self._company(before=job) + urgent)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        batch = sorted(self._company() + urgent)
        if job is None and batch:
            self._jobs.put(None)
        return batch

    def _company(self, before: Job | None = None) -> list[Job]:
        """What is patient, or as much of it as was handed over before a job."""
        taken: list[Job] = []
        while self._patient and (before is None or self._patient[0] < before):
            taken.append(self._patient.popleft())
        return taken

    def _await(self) -> Job | Literal[False] | None:
        """The next job; `WAKE` when all that is there has been patient enough, None to stop.

        To wake this thread costs a caller more than the work itself. So it naps after each job,
        and takes what was handed over meanwhile when the next comes or the nap is over.
        """
        while True:
            try:
                job = self._jobs.get(timeout=PATIENCE_S)
            except queue.Empty:
                if self._patient:
                    return WAKE
                self._asleep = True  # before the look at it, or both sides could miss the other
                job = WAKE if self._patient else self._jobs.get()
                self._asleep = False
            if job is not WAKE:
                return job

    def _commit(self, connection: Transaction, batch: list[Job]) -> None:
        connection.begin()  # which may take long: whoever gave up meanwhile is left out
        due = [job for job in batch if job.future.set_running_or_notify_cancel()]
        plain = all(job.plain for job in due)
        try:
            done = _together(connection, due) if plain else _one_by_one(connection, due)
        except Exception:
            if not plain:
                raise
            # One of them failed: again, so that it takes nothing of the others with it.
            if connection.in_transaction:
                connection.execute("rollback")
            connection.begin()
            done = _one_by_one(connection, due)
        connection.execute("commit")
        if not plain:
            Writer.commits = next(_commits)
        for future, result in done:
            future.set_result(result)


def _together(connection: Transaction, jobs: list[Job]) -> list[tuple[Future[Any], Any]]:
    """Do all the work, or raise what the first piece raises that fails."""
    return [(job.future, job.work(connection)) for job in jobs]


def _one_by_one(connection: Transaction, jobs: list[Job]) -> list[tuple[Future[Any], Any]]:
    """Do the work, and undo what a piece that fails has done."""
    done: list[tuple[Future[Any], Any]] = []
    for job in jobs:
        connection.execute("savepoint work")
        try:
            done.append((job.future, job.work(connection)))
        except Exception as e:  # noqa: BLE001 - handed to whoever submitted the work
            connection.execute("rollback to work")
            connection.kept = {}
            job.future.set_exception(e)
        connection.execute("release work")
    return done


def _within(context: Context, work: Work, connection: sqlite3.Connection) -> Any:
    return context.run(work, connection)


def _fail(batch: list[Job], error: sqlite3.Error) -> None:
    for job in batch:
        if not job.future.done():
            job.future.set_exception(error)


def _drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection that may be broken; the next batch opens a new one."""
    if connection is not None:
        connection.close()
