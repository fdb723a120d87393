"""The embedded secret store: names in the clear, values sealed under one master key."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from broker.errors import SecretUnavailableError
from broker.keyfile import KEY_BYTES, load_key
from broker.secret import Secret

MASTER_KEY_VARIABLE = "INTERLOCK_MASTER_KEY"
_VALUE, _REFERENCE = 1, 2


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a secret is kept instead; `version` is another one after every change."""

    reference: str
    version: bytes


class Shelf(Protocol):
    """Where sealed secrets are kept, by name; it never sees a value."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, sealed: bytes) -> None: ...
    def remove(self, name: str) -> bool: ...
    def names(self) -> list[str]: ...


class Vault:
    """Seal secrets into a shelf and open them again (XSalsa20-Poly1305, nacl.secret.SecretBox)."""

    def __init__(self, shelf: Shelf, master_key: bytes) -> None:
        self._shelf = shelf
        self._box = SecretBox(master_key)

    def seal(self, name: str, secret: Secret) -> None:
        """Keep `secret` under `name`, in place of what was there."""
        self._shelf.put(name, bytes(self._box.encrypt(_label(name) + secret.reveal())))

    def point(self, name: str, reference: str) -> None:
        """Keep under `name` where the secret is; sealed too, so that no one else can bend it."""
        plain = _label(name, _REFERENCE) + reference.encode()
        self._shelf.put(name, bytes(self._box.encrypt(plain)))

    def open(self, name: str) -> Secret:
        """Return the secret called `name`; raises SecretUnavailableError."""
        kept = self.look(name)
        if isinstance(kept, Pointer):
            raise SecretUnavailableError(name, "its value is kept in another store")
        return kept

    def look(self, name: str) -> Secret | Pointer:
        """Return the secret called `name` or where it is kept; raises SecretUnavailableError."""
        sealed = self._shelf.get(name)
        if sealed is None:
            raise SecretUnavailableError(name, "there is no secret of that name")
        try:
            secret = self._unseal(name, sealed)
        except CryptoError as error:
            why = "it does not open: another master key, or damaged"
            raise SecretUnavailableError(name, why) from error
        if secret is None:
            raise SecretUnavailableError(name, "what is kept here was sealed under another name")
        return secret

    def remove(self, name: str) -> bool:
        """Remove the secret called `name`; False when there was none."""
        return self._shelf.remove(name)

    def names(self) -> list[str]:
        """Return the names of all secrets, without opening any."""
        return self._shelf.names()

    def _unseal(self, name: str, sealed: bytes) -> Secret | Pointer | None:
        # Apart from look(), so that no traceback has a frame that holds the plaintext.
        label, plain = _label(name), self._box.decrypt(sealed)
        if plain.startswith(label):
            return Secret(plain.removeprefix(label))
        label = _label(name, _REFERENCE)
        if plain.startswith(label):
            return Pointer(plain.removeprefix(label).decode(), sealed)
        return None


def master_key(directory: Path, environ: Mapping[str, str]) -> bytes:
    """Return the 32 bytes of INTERLOCK_MASTER_KEY, else of `directory`/master.key.

    The variable holds 64 hexadecimal digits or base64; anything else raises ValueError. The file
    is made when missing; raises KeyFileError when it is not safe.
    """
    text = environ.get(MASTER_KEY_VARIABLE)
    if text is None:
        return load_key(directory / "master.key")
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else _from_base64(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"{MASTER_KEY_VARIABLE} must be 64 hex digits or base64 of 32 bytes")
    return key


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text.encode().translate(_STANDARD), validate=True)


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _label(name: str, format_: int = _VALUE) -> bytes:
    """Begin every plaintext with its format and name, so that rows cannot change places."""
    raw = name.encode()
    return bytes([format_]) + len(raw).to_bytes(4, "big") + raw
