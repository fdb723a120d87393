"""The signing keys of one purpose: the newest signs, every one of them verifies."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey, VerifyKey

from broker.errors import TokenForgedError
from broker.keyfile import load_key

_PURPOSE = re.compile(r"[a-z]+")


class Keyring:
    """Ed25519 keys, oldest first; the last one signs under `kid`."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        self.signing_key = keys[-1]
        self.kid = _kid_of(self.signing_key.verify_key)
        self._verify_keys = {_kid_of(key.verify_key): key.verify_key for key in keys}

    @classmethod
    def open(cls, directory: Path, purpose: str) -> Self:
        """Read the keys of `purpose` (lower-case letters) from files such as sct-0001.key.

        The first key is made when there is none. Raises KeyFileError for a file that is not safe.
        """
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"the purpose of a key is lower-case letters, not {purpose!r}")
        found = sorted(directory.glob(f"{purpose}-[0-9][0-9][0-9][0-9].key"))
        paths = found or [directory / f"{purpose}-0001.key"]
        return cls([SigningKey(load_key(path)) for path in paths])

    def verify_key(self, kid: str) -> VerifyKey:
        """Return the key called `kid`; raises TokenForgedError for one that is not ours."""
        try:
            return self._verify_keys[kid]
        except KeyError:
            raise TokenForgedError("the token names a key that is not ours") from None


def _kid_of(key: VerifyKey) -> str:
    return hashlib.sha256(bytes(key)).hexdigest()[:16]
