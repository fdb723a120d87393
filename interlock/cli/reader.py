"""The database of an installation, for those who only look: nothing is created, nothing changes."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from interlock.errors import StoreError
from interlock.store import Database
from interlock.store.database import BUSY_MS
from interlock.store.migrations import STEPS, require_ours

type RowMaker = Callable[[sqlite3.Cursor, tuple[object, ...]], sqlite3.Row]

START = "run `interlock init`, or start the front door"
NEWER = "run the version of Interlock that wrote it, or a later one"


class Reader(Database):
    """A database that is read while others write it."""

    def __init__(self, path: Path) -> None:
        """Open an existing file; raises StoreError with one line that names it."""
        self.path = path
        try:
            self._reader = _open(path)
            require_ours(self._reader)
            version = self._reader.execute("pragma user_version").fetchone()[0]
        except (sqlite3.Error, ValueError) as e:
            raise StoreError(f"{path}: cannot open the database: {e}") from e
        if version != len(STEPS):
            self.close()
            what = START if version < len(STEPS) else NEWER
            raise StoreError(f"{path}: schema {version} is not the {len(STEPS)} of now: {what}")
        self.node = self.one("select value from meta where key = 'node'")[0]

    def submit[T](
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        patient: bool = False,
        plain: bool = False,
    ) -> Future[T]:
        """Refuse: a reader writes nothing."""
        raise StoreError(f"{self.path}: is open for reading only")

    @contextmanager
    def rows_made_by(self, make: RowMaker) -> Iterator[None]:
        """Have every row that is read in between made by `make`, which so sees it go by."""
        self._reader.row_factory = make
        try:
            yield
        finally:
            self._reader.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()


def _open(path: Path) -> sqlite3.Connection:
    """Connect without the right to create or change anything.

    Not `mode=ro`: such a connection leaves an empty log and its index behind when it was alone.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_MS / 1000, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    connection.execute("pragma query_only = on")
    return connection
