"""One thread that writes: many transactions ride on one durable commit (group commit)."""

import contextlib
import itertools
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from operator import attrgetter
from typing import Any

from interlock.store.job import Job, Promise, Wake, Work

log = logging.getLogger(__name__)


# Between one question whether the lock of all writers is free and the next, in seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.0002, 0.002


class Transaction(sqlite3.Connection):
    """The writer's connection. `kept` is what was read in this transaction and holds until its end.

    Nobody else writes meanwhile; whoever changes what is kept here keeps it right.
    """

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self.kept: dict[Any, Any] = {}
        self.busy_s = 0.0

    def begin(self) -> None:
        """Begin one, under the lock of all writers, for which it waits `busy_s` seconds.

        Another process holds it for as long as the disk takes. SQLite's own way of waiting sleeps
        for longer each time, up to 0.1 s, while others come and go.
        """
        until, pause = time.monotonic() + self.busy_s, FIRST_PAUSE_S
        while not self._begun(last=time.monotonic() >= until):
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_S)
        self.kept = {}

    def _begun(self, last: bool) -> bool:
        try:
            self.execute("begin immediate")
        except sqlite3.OperationalError as e:
            if last or not getattr(e, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            return False
        return True


_commits = itertools.count()
_scribe_of = attrgetter("scribe")

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
    whoever hands over is never blocked.
    """

    # How often any writer of this process has committed what is not plain: what was read before
    # may be old.
    commits = 0

    def __init__(
        self,
        connect: Callable[[], Transaction],
        busy_s: float,
        look: Callable[[sqlite3.Connection], object],
    ) -> None:
        """`connect` opens its connection; it waits `busy_s` for the writers of other processes.

        `look` is to see what they have written, before anything else is.
        """
        self._connect = connect
        self._busy_s = busy_s
        self._look = look
        self._jobs: deque[Job] = deque()
        # Rings for the thread: whether somebody waits for what is there.
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._rung = False
        self._asleep = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many pieces of work nobody has begun with yet."""
        return len(self._jobs)

    def submit[T](self, work: Work[T], *, patient: bool = False) -> Future[T]:
        """Hand over `work`; the future answers with its result after a durable commit.

        It fails with sqlite3.Error, or with what `work` raises.
        """
        promise = Promise(work)
        self.hand_over([promise], patient=patient)
        return promise.future

    def hand_over(self, jobs: Sequence[Job], *, patient: bool = False) -> None:
        """Have work done, in the order in which it is handed over.

        What is patient rides along with the next commit that somebody waits for, if that comes
        soon, and costs no commit of its own.
        """
        waiting = len(self._jobs)
        if self._closed:
            _refuse(jobs, sqlite3.ProgrammingError("the store is closed"))
        elif waiting >= MOST_WAITING:
            said = f"the store is behind: {waiting} writes are waiting for the disk"
            _refuse(jobs, sqlite3.OperationalError(said))
        else:
            self._jobs.extend(jobs)
            if patient:
                if self._asleep:
                    self._bell.put(False)
            elif not self._rung:
                self._rung = True
                self._bell.put(True)
            self._refuse_late()  # it may have been closed between these lines

    def close(self) -> None:
        """Write what is there and stop; safe to call twice."""
        self._closed = True
        self._bell.put(True)
        self._thread.join(timeout=10)
        self._refuse_late()

    def _refuse_late(self) -> None:
        """Refuse what came too late for the thread."""
        while self._closed and self._jobs and not self._thread.is_alive():
            with contextlib.suppress(IndexError):  # another thread does the same
                _refuse([self._jobs.popleft()], sqlite3.ProgrammingError("the store is closed"))

    def _run(self) -> None:
        connection: Transaction | None = None
        for batch in self._batches():
            due: list[Job] | None = None
            try:
                connection = connection or self._opened()
                # May take long: whoever gave up meanwhile is left out, who came is taken along.
                connection.begin()
                batch += self._next(MOST_PER_COMMIT - len(batch))
                due = _wanted(batch)
                self._commit(connection, due)
            except sqlite3.Error as e:
                log.error("the store did not take %s writes: %s", len(batch), e)
                due = _wanted(batch) if due is None else due
                _fail(due, e)
                _drop(connection)
                connection = None
            _answer(due)
        _drop(connection)

    def _opened(self) -> Transaction:
        connection = self._connect()
        connection.execute("pragma busy_timeout = 0")  # `begin` waits by itself
        # What undoes a statement or a savepoint, else in a file once it is more than 16 pages.
        connection.execute("pragma temp_store = memory")
        connection.busy_s = self._busy_s
        return connection

    def _batches(self) -> Iterator[list[Job]]:
        """What goes into one commit, again and again, until there is nothing and no more comes."""
        while True:
            self._rung = False  # first, so that whoever hands over from now on rings again
            batch = self._next(MOST_PER_COMMIT)
            if batch:
                yield batch
            elif self._closed:
                return
            if len(batch) < MOST_PER_COMMIT and not self._closed:
                self._await()

    def _next(self, most: int) -> list[Job]:
        return [self._jobs.popleft() for _ in range(min(len(self._jobs), most))]

    def _await(self) -> None:
        """Until somebody waits for what is there, or all of it has been patient enough.

        To wake this thread costs a caller more than the work itself. So it naps after each commit,
        and takes what was handed over meanwhile when somebody rings or the nap is over.
        """
        urgent = False
        while not urgent:
            try:
                urgent = self._bell.get(timeout=PATIENCE_S)
            except queue.Empty:
                if self._jobs:
                    return
                self._asleep = True  # before the look at it, or both sides could miss the other
                urgent = not self._jobs and self._bell.get()
                self._asleep = False

    def _commit(self, connection: Transaction, jobs: list[Job]) -> None:
        self._look(connection)
        plain = None not in map(_scribe_of, jobs)
        if not (plain and _together(connection, jobs)):
            _one_by_one(connection, jobs)
        _wake([job.written() for job in jobs if job.error is None])
        connection.execute("commit")  # which leaves Python's lock to whoever was woken
        if not plain:
            Writer.commits = next(_commits)


def _together(connection: Transaction, jobs: list[Job]) -> bool:
    """Do all the work in one go; False, and nothing is done, when any of it fails."""
    try:
        for scribe, its in itertools.groupby(jobs, _scribe_of):
            if scribe:
                scribe.write(connection, list(its))
    except Exception:  # noqa: BLE001 - it is done again, one by one, and then fails by itself
        if connection.in_transaction:
            connection.execute("rollback")
        connection.begin()
        return False
    return True


def _one_by_one(connection: Transaction, jobs: list[Job]) -> None:
    """Do the work, and undo what a piece that fails has done."""
    for job in jobs:
        connection.execute("savepoint work")
        try:
            job.work(connection)
        except Exception as e:  # noqa: BLE001 - handed to whoever waits for the work
            connection.execute("rollback to work")
            connection.kept = {}
            job.error = e
        connection.execute("release work")


def _wanted(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.begin()]


def _fail(jobs: list[Job], error: sqlite3.Error) -> None:
    for job in jobs:
        job.error = error if job.error is None else job.error


def _answer(jobs: list[Job]) -> None:
    """Tell everyone, and wake those who wait only when all is told."""
    _wake([job.over() for job in jobs])


def _wake(wakes: Iterable[Wake | None]) -> None:
    for wake in {wake for wake in wakes if wake}:
        wake()


def _refuse(jobs: Sequence[Job], error: sqlite3.Error) -> None:
    due = _wanted(list(jobs))
    _fail(due, error)
    _answer(due)


def _drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection that may be broken; the next batch opens a new one."""
    if connection is not None:
        connection.close()
