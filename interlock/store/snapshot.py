"""A value read from the store that is never older than the last change to it."""

from collections.abc import Callable

from interlock.store.database import Database


class Snapshot[T]:
    """Keeps what `load` read and reads again only when the change number has moved.

    Asking costs one read of one row (some microseconds), so that a change made by another
    process holds from the next call on.
    """

    def __init__(self, database: Database, load: Callable[[Database], T]) -> None:
        self._database = database
        self._load = load
        self._change = -1
        self._value: T

    @property
    def value(self) -> T:
        """The current value; raises StoreError."""
        change = self._database.change
        if change != self._change:
            self._value = self._load(self._database)
            self._change = change
        return self._value
