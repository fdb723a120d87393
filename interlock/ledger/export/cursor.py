"""How far an export has come, by name, kept in a file of the home that survives everything."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from interlock.ledger.disk import furnish, put
from interlock.ledger.export.destination import ExportError, Mark

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_cursor(text: str) -> str:
    """Read the name of a cursor; raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not a name of letters, digits, '.', '_' and '-'")
    return text


def use_of(format_: str, to: str) -> dict[str, str]:
    """What a cursor is for, with no more of a URL than its host in clear: the path may be a key.

    What a query says is left out, because a token there is changed now and then.
    """
    if "://" in to:
        url = urlsplit(to)
        place, shown = to.partition("?")[0], f"{url.scheme}://{url.netloc}"
    else:
        place = shown = "the screen" if to == "-" else str(Path(to).absolute())
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()
    return {"format": format_, "to": shown, "digest": digest}


class Cursor:
    """The last event of each node that a receiver has acknowledged; one process may hold it.

    Without a folder it is forgotten at the end.
    """

    def __init__(
        self, folder: Path | None = None, name: str = "", use: Mapping[str, str] | None = None
    ) -> None:
        """`use` is what it is for now (`use_of`), and from then on."""
        self._path = folder / f"{name}.json" if folder else None
        self._use = dict(use or {})
        self._lock = -1
        self.positions: dict[str, int] = {}
        self.mark: Mark = {}

    def __enter__(self) -> Self:
        """Take hold of it; raises ExportError when another export has it, or it is not ours.

        Neither is one of another use: what was acknowledged there has not arrived here.
        """
        if self._path is None:
            return self
        try:
            self._take(self._path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def _take(self, path: Path) -> None:
        try:
            furnish(path.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(path.with_suffix(".lock"), flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except BlockingIOError:
            raise self._wrong("another export is using this cursor") from None
        except OSError as e:
            raise self._wrong(str(e.strerror)) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._wrong("is no cursor; remove it to begin anew") from None

    def advance(self, positions: Mapping[str, int], mark: Mark) -> None:
        """Remember durably what was acknowledged; raises ExportError."""
        self.positions |= positions
        self.mark = mark
        if self._path is None:
            return
        try:
            said = {"positions": self.positions, "mark": dict(mark), "use": self._use}
            put(self._path, json.dumps(said).encode())
        except OSError as e:
            raise self._wrong(str(e.strerror)) from None

    def _read(self, said: Any) -> None:
        self.positions = {str(node): int(seq) for node, seq in said["positions"].items()}
        self.mark = dict(said["mark"])
        use = dict(said.get("use", {}))  # older versions did not keep it
        if use and self._use and use != self._use:
            raise self._wrong(f"is for {use['format']} to {use['to']}: give another --cursor name")

    def _wrong(self, what: str) -> ExportError:
        return ExportError(f"{self._path}: {what}")
