"""Which processes of this home are alive: each holds a lock that ends with it, however it ends."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self


class Run:
    """One process that decides calls, from its start to its end.

    `id` stands in every decision that it records. The file is only there to be locked: the
    system lets go of the lock when the process dies, which no pid file can promise.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a run; raises OSError when the folder cannot be written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = secrets.token_hex(4)
        self._path = folder / self.id
        hidden = folder / f".{self.id}"
        self._handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        # Only now can others see it: unlocked, they would take it for what a dead one left.
        hidden.rename(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run; safe to call twice."""
        if self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def is_alive(folder: Path, run_id: str) -> bool:
    """True while the process of a run holds its lock; what a dead one left is cleared away."""
    path = folder / run_id
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(handle)


def any_dead(folder: Path) -> bool:
    """True when a run has ended without closing; asked once, that is forgotten."""
    runs = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return not all(is_alive(folder, run) for run in runs)
