"""The key files of one purpose: made, retired by the next one, and removed when nothing needs them.

A key is retired when the next one is made, and needed for as long as a token may live that was
signed just before. The moment is the time of that next file, which is never written again.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nacl.signing import SigningKey

from broker.capability import MAX_TTL
from broker.claims import CLOCK_SKEW
from broker.errors import KeyFileError
from broker.keyfile import load_key, new_key, read_key

NOTICE_S = 5.0  # whoever signs has noticed a rotation by then, and looks ten times as often
RETIRED_S = MAX_TTL + CLOCK_SKEW + NOTICE_S
LAST = 9999
_PURPOSE = re.compile(r"[a-z]+")

type Stamp = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class KeptKey:
    """One key file, and until when it verifies (epoch seconds); None for the one that signs."""

    path: Path
    key: SigningKey
    until: float | None


class KeyFolder:
    """Files such as sct-0001.key in one directory; the highest number signs."""

    def __init__(self, directory: Path, purpose: str) -> None:
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"the purpose of a key is lower-case letters, not {purpose!r}")
        self._directory = directory
        self._purpose = purpose

    def furnish(self) -> None:
        """Make the first key, unless there is one; raises KeyFileError."""
        if not self._paths():
            load_key(self._path(1))

    def rotate(self) -> Path:
        """Make the next key, which signs from now on; raises KeyFileError."""
        last = max(map(_number, self._paths()), default=0)
        if last >= LAST:
            raise KeyFileError(self._path(last), "is the last number there is: remove the keys")
        path = self._path(last + 1)
        new_key(path)
        return path

    def kept(self) -> list[KeptKey]:
        """Every key there is, oldest first; raises KeyFileError for one that is not safe."""
        ends: float | None = None
        found = []
        for path in reversed(self._paths()):
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it
                found.append(KeptKey(path, SigningKey(read_key(path)), ends))
                ends = path.stat().st_mtime + RETIRED_S
        return found[::-1]

    def keys(self, now: float) -> list[SigningKey]:
        """The keys that hold at `now`, oldest first; raises KeyFileError."""
        return [kept.key for kept in self.kept() if kept.until is None or now < kept.until]

    def remove_ended(self, now: float) -> None:
        """Delete the keys that nothing needs any more; what cannot be deleted is not used."""
        for path, until in self._ends():
            if until <= now:
                with contextlib.suppress(OSError):
                    path.unlink()

    def stamp(self) -> Stamp:
        """What is another value after every change to the files."""
        found = []
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                found.append((path.name, path.stat().st_mtime_ns))
        return tuple(found)

    def _ends(self) -> Iterator[tuple[Path, float]]:
        paths = self._paths()
        for path, following in pairwise(paths):
            with contextlib.suppress(FileNotFoundError):
                yield path, following.stat().st_mtime + RETIRED_S

    def _path(self, number: int) -> Path:
        return self._directory / f"{self._purpose}-{number:04}.key"

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob(f"{self._purpose}-[0-9][0-9][0-9][0-9].key"))


def _number(path: Path) -> int:
    return int(path.stem[-4:])
