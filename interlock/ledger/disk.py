"""Puts a file on disk whole, name included: after a crash there is all of it, or the one before."""

import os
from pathlib import Path


def put(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file durably, in place of one of that name; raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
    draft.replace(path)
    settle(path.parent)


def furnish(folder: Path) -> None:
    """Make a folder for its owner alone, unless it is there; raises OSError."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settle(folder.parent)


def settle(folder: Path) -> None:
    """Put the names in a folder on disk; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
