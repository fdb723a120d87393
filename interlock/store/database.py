"""The SQLite file: read on the spot, written in the background."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from interlock.errors import StoreError
from interlock.store.job import Job
from interlock.store.migrations import migrate, require_ours
from interlock.store.writer import Transaction, Writer

BUSY_MS = 5_000
# What stays of a write-ahead log that grew because somebody was reading for long, in bytes.
MOST_LOG = 48 << 20
# After so many pages the log goes into the file, 33 MB: whoever commits then waits for that too,
# one call in some five hundred. With SQLite's own thousand it is more than one in a hundred.
LOG_PAGES = 8_000
# For so long a call, which asks some thirty times, need not look whether anything has changed.
FRESH_S = 0.005


class Database:
    """State of one installation. Reads do not wait for writers (WAL); writes are durable."""

    # Of the class, so that a reader, which opens the file in its own way, begins with them too.
    _seen = (-1, 0.0, (0, 0))

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises StoreError with one line that names it."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
            self._reader: sqlite3.Connection = self._connect(require_ours, migrate)
        except (OSError, sqlite3.Error, ValueError) as e:
            raise StoreError(f"{path}: cannot open the database: {e}") from e
        self._writer = Writer(self._connect, BUSY_MS / 1000, self._look_early)
        self.node: str = self.one("select value from meta where key = 'node'")[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Answer a query with `sqlite3.Row`s; raises StoreError."""
        return self.read(lambda connection: connection.execute(sql, values).fetchall())

    def one(self, sql: str, *values: Any) -> Any:
        """Answer the first row of a query, or None."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def read[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the reading connection; raises StoreError."""
        try:
            return work(self._reader)
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: cannot read: {e}") from e

    def aside[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which may take long, on a reading connection of its own; raises StoreError.

        On the shared one, every other read would wait for it.
        """
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.execute("pragma query_only = on")
                return work(connection)
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: cannot read: {e}") from e

    @property
    def change(self) -> int:
        """The number that moves with every change to agents, keys, secrets and bindings."""
        return self.changes[0]

    @property
    def changes(self) -> tuple[int, int]:
        """That number, and the one that moves only when secrets or bindings change.

        Read again once this process has written anything, or when it is older than FRESH_S: that
        is how long a change made by another process may take to hold here. While decisions are
        written it is not, for whoever writes looks too.
        """
        seen_at, until, changes = self._seen
        if Writer.commits != seen_at or time.monotonic() >= until:
            changes = self.read(self._look)
        return changes

    def _look_early(self, connection: sqlite3.Connection) -> None:
        """Read these numbers while a writer is at it, if they are soon too old."""
        seen_at, until, _ = self._seen
        if Writer.commits != seen_at or time.monotonic() >= until - FRESH_S / 2:
            self._look(connection)

    def _look(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Read these numbers. After a commit that takes ten times as long here as in a writer."""
        stamp, now, changes = Writer.commits, time.monotonic(), self._seen[2]
        # The second number never moves without the first, which alone takes half the time.
        if _change(connection) != changes[0]:
            changes = _changes(connection)
        # One assignment: another thread never sees an older number beside a newer stamp.
        self._seen = (stamp, now + FRESH_S, changes)
        return changes

    @property
    def waiting(self) -> int:
        """How many writes wait for the disk."""
        return self._writer.waiting

    def submit[T](
        self, work: Callable[[sqlite3.Connection], T], *, patient: bool = False
    ) -> Future[T]:
        """Run `work` in a durable transaction of the writer thread (`Writer.submit`)."""
        return self._writer.submit(work, patient=patient)

    def hand_over(self, jobs: Sequence[Job], *, patient: bool = False) -> None:
        """Have jobs done in durable transactions of the writer thread (`Writer.hand_over`)."""
        self._writer.hand_over(jobs, patient=patient)

    def write[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` and wait until it is on disk; raises StoreError or what `work` raises."""
        try:
            return self.submit(work).result(timeout=2 * BUSY_MS / 1000)
        except (sqlite3.OperationalError, sqlite3.DatabaseError, TimeoutError) as e:
            raise StoreError(f"{self.path}: cannot write: {str(e) or 'timed out'}") from e

    def close(self) -> None:
        """Write what is queued and close."""
        self._writer.close()
        self._reader.close()

    def _connect(
        self,
        check: Callable[[sqlite3.Connection], None] = lambda _: None,
        prepare: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> Transaction:
        """Connect; `check` is asked before anything in the file is changed."""
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=Transaction,
        )
        try:
            connection.row_factory = sqlite3.Row
            check(connection)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma foreign_keys = on")
            connection.execute(f"pragma journal_size_limit = {MOST_LOG}")
            connection.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _create(path: Path) -> None:
    """Create the file with mode 0600; never touch one that exists.

    Closing any descriptor of a file drops all locks that the process holds on it (POSIX), and
    without its lock SQLite lets another process delete the log under our feet.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _change(connection: sqlite3.Connection) -> int:
    """The number that moves with every change."""
    return int(connection.execute("select value from meta where key = 'change'").fetchone()[0])


def _changes(connection: sqlite3.Connection) -> tuple[int, int]:
    """That number, and the one of secrets and bindings, as they are at one moment."""
    sql = "select value from meta where key in ('change', 'secrets') order by key"
    every, secrets = connection.execute(sql).fetchall()
    return int(every[0]), int(secrets[0])
