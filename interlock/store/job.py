"""Work on its way to the disk, and what becomes of it."""

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Protocol

type Work[T] = Callable[[sqlite3.Connection], T]
# What tells somebody of all that was settled together.
type Wake = Callable[[], None]


class Scribe(Protocol):
    """Writes what is plain: rows that nobody keeps in memory, and that can be written again."""

    def write(self, connection: sqlite3.Connection, jobs: Sequence[Any], /) -> None:
        """Write all of the jobs that name it as their scribe, or raise."""


class Job:
    """One piece of work: all or nothing, and done by the writing thread alone.

    `scribe` writes it together with others of its own; None for what has to be done by itself.
    `error` is what it failed with.
    """

    __slots__ = ("error", "scribe")

    def __init__(self, scribe: Scribe | None = None) -> None:
        self.scribe = scribe
        self.error: Exception | None = None

    def begin(self) -> bool:
        """Say whether it is still wanted; asked once, and the end of what is not."""
        return True

    def work(self, connection: sqlite3.Connection) -> None:
        """Do it in a transaction of all writers; what it raises undoes it."""
        raise NotImplementedError

    def written(self) -> Wake | None:
        """Take note that it is done, and that the disk alone may still refuse it; as `over`."""
        return None

    def over(self) -> Wake | None:
        """Take note that it is on disk, or that it failed; what to call once others have too."""
        raise NotImplementedError


class Promise[T](Job):
    """Work whose result somebody waits for; it is done on behalf of whoever handed it over."""

    __slots__ = ("_context", "_result", "_work", "future")

    def __init__(self, work: Work[T]) -> None:
        super().__init__()
        self.future: Future[T] = Future()
        self._work = work
        self._context = copy_context()
        self._result: T

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def work(self, connection: sqlite3.Connection) -> None:
        self._result = self._context.run(self._work, connection)

    def over(self) -> None:
        if self.error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self.error)
