"""The folder of checkpoints: append-only files of one a line, with the public keys that signed.

Copied to a place that the machine itself cannot change, it is what `interlock audit verify
--checkpoints` holds the ledger against.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from broker import Keyring
from interlock.ledger.checkpoint import (
    FIRST,
    Checkpoint,
    Head,
    digest_of,
    sign_checkpoint,
    verify_checkpoint,
)
from interlock.ledger.disk import furnish, settle
from interlock.ledger.keys import AttestationError, public_keys, publish

LINES = "*.checkpoints"
LONGEST_LINE = 1 << 20


class Trail:
    """The checkpoints of one folder, one file a day (UTC), each line chained to the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """True when there is a checkpoint file at all."""
        return bool(self._files())

    def write(self, heads: Mapping[str, Head], keyring: Keyring, now: float) -> str:
        """Append a checkpoint durably and return its line; raises OSError.

        Processes that share the folder take turns, so that the lines stay one chain.
        """
        furnish(self.folder)
        with _turn(self.folder):
            publish(self.folder, keyring.signing_key.verify_key)
            last = self._last()
            checkpoint = Checkpoint(now, heads, digest_of(last) if last else FIRST)
            line = sign_checkpoint(checkpoint, keyring)
            day = datetime.fromtimestamp(now, UTC).date()
            newest = max(self._files(), default=None)
            path = self.folder / f"{day}.checkpoints"
            # A clock that was set back must not put a line before those that it follows.
            _append(max(path, newest) if newest else path, line)
        return line

    def read(self) -> Iterator[Checkpoint]:
        """Yield every checkpoint, oldest first; raises AttestationError naming file and line.

        The keys that may have signed are those that lie in the folder: whoever keeps a copy of
        it elsewhere keeps them too, and no key that is made later is among them.
        """
        keys = public_keys(self.folder)
        previous: str | None = None
        for path in self._files():
            for number, line in enumerate(_lines(path), start=1):
                # A copy that is posted has a line twice when its receipt was lost on the way.
                if digest_of(line) == previous:
                    continue
                try:
                    checkpoint = verify_checkpoint(line, keys)
                except AttestationError as e:
                    raise AttestationError(f"{path}:{number}: {e}") from None
                # Old files may have been moved away: the first line may follow anything.
                if previous is not None and checkpoint.previous != previous:
                    raise AttestationError(f"{path}:{number}: the checkpoint before it is missing")
                previous = digest_of(line)
                yield checkpoint

    def digests(self) -> set[str]:
        """What the ledger says of each line that is there; raises AttestationError."""
        return {digest_of(line) for path in self._files() for line in _lines(path)}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(LINES))

    def _last(self) -> str:
        for path in reversed(self._files()):
            if lines := _tail(path).split():
                return lines[-1]
        return ""


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold the right to append, which the system takes back from a process that dies."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _append(path: Path, line: str) -> None:
    is_new = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(handle, _whole(handle))
        data = line.encode() + b"\n"
        if os.write(handle, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        settle(path.parent)


def _whole(handle: int) -> int:
    """The length of a file without what a crash or a full disk left of a line at its end."""
    size = os.fstat(handle).st_size
    start = max(0, size - LONGEST_LINE)
    return start + os.pread(handle, size - start, start).rfind(b"\n") + 1


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - LONGEST_LINE))
        whole, newline, _ = file.read().rpartition(b"\n")
        return (whole + newline).decode("ascii", "replace")


def _lines(path: Path) -> Iterator[str]:
    """The whole lines of a file; one that is still being written, or was cut short, is none."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            while line := file.readline(LONGEST_LINE):
                if line.endswith("\n"):
                    yield line.strip()
                elif len(line) == LONGEST_LINE:
                    raise AttestationError(f"{path}: a line of more than {LONGEST_LINE} characters")
    except OSError as e:
        raise AttestationError(f"{path}: {e.strerror}") from None
