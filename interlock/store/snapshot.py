"""A value read from the store that is never older than the last change to it."""

from collections.abc import Callable

from interlock.store.database import Database


class Snapshot[T]:
    """Keeps what `load` read and reads again only when the change number has moved.

    A change made by this process holds at once, one by another after `database.FRESH_S`.
    """

    def __init__(self, database: Database, load: Callable[[Database], T]) -> None:
        self._database = database
        self._load = load
        self._kept: tuple[int, T] | None = None

    @property
    def value(self) -> T:
        """The current value; raises StoreError."""
        change = self._database.change
        kept = self._kept
        if kept is None or kept[0] != change:
            # One assignment: another thread never sees a value beside another's number.
            kept = self._kept = (change, self._load(self._database))
        return kept[1]
