"""Exports into a file, which a run that was killed goes on with as if it had not been."""

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interlock.ledger.export.destination import ExportError, Mark
from interlock.ledger.export.format import Message

_TAIL = 1 << 20


class FileDestination:
    """Appends lines to a file, durably.

    The mark is the file (inode) and its length. What a killed run left behind the mark is taken
    back if it is the beginning of what is sent next, so that nothing stands there twice.
    """

    def __init__(self, path: Path, header: str, *, goes_on: bool) -> None:
        """Open or create a file; without `goes_on` it has to be new or empty.

        Raises ExportError.
        """
        self._path = path
        self._header = f"{header}\n" if header else ""
        self._mark: Mark = {}
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise ExportError(f"{path}: {e.strerror}") from None
        found = os.fstat(self._handle)
        self._regular = stat.S_ISREG(found.st_mode)
        problem = self._problem(found.st_size, goes_on) if self._regular else ""
        if problem:
            os.close(self._handle)
            raise ExportError(f"{path}: {problem}")

    def begin(self, mark: Mark) -> Mark:
        """Go on from a mark of this very file; any other file is only appended to."""
        found = os.fstat(self._handle)
        same = mark.get("inode") == found.st_ino and mark.get("size", 0) <= found.st_size
        self._mark = mark if same else self._here()
        return self._mark

    def send(self, messages: Sequence[Message]) -> Mark:
        """Append lines and wait until they are on disk."""
        try:
            data = "".join(f"{message.text}\n" for message in messages).encode()
            if self._regular:
                data = self._repair(data)
            _write(self._handle, data)
            if self._regular:
                os.fsync(self._handle)
        except OSError as e:
            raise ExportError(f"{self._path}: {e.strerror}", passing=True) from None
        self._mark = self._here()
        return self._mark

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _problem(self, size: int, goes_on: bool) -> str:
        """Say why a file may not be written; two at a time would cut each other's lines."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "another export is writing to it"
        if size and not goes_on:
            return "exists; name a cursor to go on, or take another file"
        return ""

    def _repair(self, data: bytes) -> bytes:
        """Take back what an unfinished batch left; answer what is to be appended."""
        size, start = os.fstat(self._handle).st_size, int(self._mark.get("size", 0))
        whole = (self._header.encode() if start == 0 else b"") + data
        if size > start:
            left = os.pread(self._handle, min(size - start, len(whole) + 1), start)
            if whole.startswith(left):
                os.ftruncate(self._handle, start)
                return whole
            os.ftruncate(self._handle, _end_of_lines(self._handle, size))
        return whole if os.fstat(self._handle).st_size == 0 else data

    def _here(self) -> dict[str, Any]:
        found = os.fstat(self._handle)
        return {"inode": found.st_ino, "size": found.st_size} if self._regular else {}


def _end_of_lines(handle: int, size: int) -> int:
    """The length of a file without a line that was never finished."""
    start = max(0, size - _TAIL)
    return start + os.pread(handle, size - start, start).rfind(b"\n") + 1


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
