"""The signing keys of one purpose: the newest signs, every one of them verifies."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey, VerifyKey

from broker.errors import TokenForgedError
from broker.keyfolder import KeyFolder, Stamp


class Keyring:
    """Ed25519 keys, oldest first; the last one signs under `kid`."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._folder: KeyFolder | None = None
        self._stamp: Stamp = ()
        self._take(keys)

    @classmethod
    def open(cls, directory: Path, purpose: str) -> Self:
        """Read the keys of `purpose` (lower-case letters) from files such as sct-0001.key.

        The first key is made when there is none. Raises KeyFileError for a file that is not safe.
        """
        folder = KeyFolder(directory, purpose)
        folder.furnish()
        stamp = folder.stamp()
        ring = cls(folder.keys(time.time()))
        ring._folder, ring._stamp = folder, stamp
        return ring

    def renew(self, now: float) -> bool:
        """Take up a rotation, and let go of keys that ended; True when another key signs.

        Costs one look at a folder. Raises KeyFileError, once for each state of the folder; the
        ring stays as it was then.
        """
        if self._folder is None:
            return False
        self._folder.remove_ended(now)
        stamp = self._folder.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = self.kid
        self._take(self._folder.keys(now))
        return self.kid != before

    @property
    def signer(self) -> tuple[str, SigningKey]:
        """The key that signs, with its kid: one value, because a rotation replaces both."""
        return self._signer

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs."""
        return self._signer[1]

    @property
    def kid(self) -> str:
        """The name of the key that signs."""
        return self._signer[0]

    def verify_key(self, kid: str) -> VerifyKey:
        """Return the key called `kid`; raises TokenForgedError for one that is not ours."""
        try:
            return self._verify_keys[kid]
        except KeyError:
            raise TokenForgedError("the token names a key that is not ours") from None

    def _take(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        self._verify_keys = {kid_of(key.verify_key): key.verify_key for key in keys}
        self._signer = (kid_of(keys[-1].verify_key), keys[-1])


def kid_of(key: VerifyKey) -> str:
    """Return the name of a key: sixteen hex digits of the SHA-256 of its public half."""
    return hashlib.sha256(bytes(key)).hexdigest()[:16]
