"""How far an export has come, by name, kept in a file of the home that survives everything."""

import fcntl
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from interlock.ledger.disk import furnish, put
from interlock.ledger.export.destination import ExportError, Mark

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_cursor(text: str) -> str:
    """Read the name of a cursor; raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not a name of letters, digits, '.', '_' and '-'")
    return text


class Cursor:
    """The last event of each node that a receiver has acknowledged; one process may hold it.

    Without a folder it is forgotten at the end.
    """

    def __init__(self, folder: Path | None = None, name: str = "") -> None:
        self._path = folder / f"{name}.json" if folder else None
        self._lock = -1
        self.positions: dict[str, int] = {}
        self.mark: Mark = {}

    def __enter__(self) -> Self:
        """Take hold of it; raises ExportError when another export has it, or it is not ours."""
        if self._path is None:
            return self
        try:
            furnish(self._path.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(self._path.with_suffix(".lock"), flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            pass
        except BlockingIOError:
            raise self._wrong("another export is using this cursor") from None
        except OSError as e:
            raise self._wrong(str(e.strerror)) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._wrong("is no cursor; remove it to begin anew") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def advance(self, positions: Mapping[str, int], mark: Mark) -> None:
        """Remember durably what was acknowledged; raises ExportError."""
        self.positions |= positions
        self.mark = mark
        if self._path is None:
            return
        try:
            put(self._path, json.dumps({"positions": self.positions, "mark": dict(mark)}).encode())
        except OSError as e:
            raise self._wrong(str(e.strerror)) from None

    def _read(self, said: Any) -> None:
        self.positions = {str(node): int(seq) for node, seq in said["positions"].items()}
        self.mark = dict(said["mark"])

    def _wrong(self, what: str) -> ExportError:
        return ExportError(f"{self._path}: {what}")
