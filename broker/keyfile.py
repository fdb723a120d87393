"""Key files: 32 random bytes that only their owner can read, or a refusal that says why."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from broker.errors import KeyFileError

KEY_BYTES = 32


def load_key(path: Path) -> bytes:
    """Return the key in `path`; make one first, and its directory, when there is none.

    Processes that race here all return the same key. Raises KeyFileError when the file is a
    symbolic link, another user's, readable by others or no key, or when it cannot be made.
    """
    try:
        _require_directory(path.parent)
        with contextlib.suppress(FileNotFoundError):
            return _read(path)
        with contextlib.suppress(FileExistsError):
            _create(path)
        return _read(path)
    except OSError as error:
        raise KeyFileError(path, f"cannot be used: {error}") from error


def read_key(path: Path) -> bytes:
    """Return the key in `path`; raises FileNotFoundError, or KeyFileError as `load_key` does."""
    try:
        _require_directory(path.parent)
        return _read(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(path, f"cannot be used: {error}") from error


def new_key(path: Path) -> None:
    """Make a key in a file that does not exist yet; raises KeyFileError."""
    try:
        _require_directory(path.parent)
        _create(path)
    except OSError as error:
        raise KeyFileError(path, f"cannot be made: {error}") from error


def _require_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise KeyFileError(directory, "belongs to another user")
    if status.st_mode & 0o022:  # whoever can write here can put a key of his own in place
        raise KeyFileError(directory, "can be changed by other users: chmod 700 it")


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise KeyFileError(path, "is a symbolic link") from error
    try:
        _require_private(path, os.fstat(handle))  # of what was opened, not of what has the name
        key = os.read(handle, KEY_BYTES + 1)
    finally:
        os.close(handle)
    if len(key) != KEY_BYTES:
        raise KeyFileError(path, f"has the wrong size: a key is {KEY_BYTES} bytes")
    return key


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "is not a plain file")
    if status.st_uid != os.geteuid():
        raise KeyFileError(path, "belongs to another user")
    if stat.S_IMODE(status.st_mode) & ~0o600:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(path, f"has mode {mode:04o}, which is too wide: chmod 600 it")


def _create(path: Path) -> None:
    """Write a draft and link it into place: nobody ever sees half a key, and the first one wins.

    Raises FileExistsError for all others.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(handle)
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    _sync(path.parent)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
