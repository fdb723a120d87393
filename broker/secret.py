"""A credential that can be carried around without showing itself."""

import hmac
from typing import NoReturn, Self, final

MAX_BYTES = 16 * 1024
_CONTROLS = frozenset([*range(0x20), 0x7F])


@final
class Secret:
    """Hold a credential of 1 byte to 16 KiB; `reveal()` is the only way out.

    Raises ValueError for a value that would split or bend a request (RFC 9110, 5.5): empty, too
    long, with a control character, or with a blank at either end, which the wire would trim.
    """

    __slots__ = ("__value",)

    def __init__(self, value: bytes | str) -> None:
        raw = value.encode(errors="replace") if isinstance(value, str) else bytes(value)
        # Compared, not caught: a UnicodeEncodeError would carry the value along.
        if isinstance(value, str) and raw.decode() != value:
            raise ValueError("a secret must be valid Unicode text")
        if not raw:
            raise ValueError("a secret must not be empty")
        if len(raw) > MAX_BYTES:
            raise ValueError(f"a secret must not be longer than {MAX_BYTES} bytes")
        if not _CONTROLS.isdisjoint(raw):
            raise ValueError("a secret must not contain a line break or other control character")
        if raw != raw.strip(b" "):
            raise ValueError("a secret must not begin or end with a blank")
        self.__value = raw

    def reveal(self) -> bytes:
        """Return the credential itself, for the wire and nothing else."""
        return self.__value

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value, other.__value)

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:  # what pickle and every serialiser like it asks for
        raise TypeError("a Secret cannot be serialised")
