"""What was read from the store and is never older than the last change to it."""

from collections.abc import Callable

from interlock.store.database import Database

# What a value depends on: on anything, or on secrets and bindings alone (`Database.changes`).
ANYTHING, SECRETS = 0, 1


class Snapshot[T]:
    """Keeps what `load` read and reads again only when the change number has moved.

    A change made by this process holds at once, one by another after `database.FRESH_S`.
    """

    def __init__(
        self, database: Database, load: Callable[[Database], T], on: int = ANYTHING
    ) -> None:
        self._database = database
        self._on = on
        self._load = load
        self._kept: tuple[int, T] | None = None

    @property
    def value(self) -> T:
        """The current value; raises StoreError."""
        change = self._database.changes[self._on]
        kept = self._kept
        if kept is None or kept[0] != change:
            # One assignment: another thread never sees a value beside another's number.
            kept = self._kept = (change, self._load(self._database))
        return kept[1]


class Lookup[K, V]:
    """Keeps what `find` answered, one by one, until the change number moves.

    So a change costs what is asked for after it, however much there is in all.
    """

    # More are forgotten together, and looked up again when they are asked for.
    MOST = 10_000

    def __init__(self, database: Database, find: Callable[[K], V], on: int = ANYTHING) -> None:
        self._database = database
        self._find = find
        self._on = on
        self._kept: tuple[int, dict[K, V]] = -1, {}

    def get(self, key: K) -> V:
        """What `find` answers, or answered since the last change; raises StoreError."""
        change = self._database.changes[self._on]
        seen_at, kept = self._kept
        if seen_at != change:
            kept = {}
            self._kept = change, kept
        found = kept.get(key)
        if found is None:
            found = self._find(key)
            # What is not there is not kept: strangers ask for it, under any name they like.
            if found is not None:
                if len(kept) >= self.MOST:
                    kept.clear()
                kept[key] = found
        return found
