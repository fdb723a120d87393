"""Who may stand in a chain of delegation, and the public keys that prove who signed."""

import base64
import re
from dataclasses import dataclass

from nacl.signing import VerifyKey

from interlock.model import Entity

USER = "User"
AGENT = "Agent"
_HOLDER = re.compile(rf'({USER}|{AGENT})::"([A-Za-z0-9][A-Za-z0-9._@+-]{{0,127}})"')
_PASERK = "k4.public."


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signs for `holder`; `revoked_at` is in unix seconds, None while it holds."""

    holder: Entity
    key: VerifyKey
    revoked_at: float | None = None


def parse_holder(text: str) -> Entity:
    """Read `User::"ada"` or `Agent::"x"`; raises ValueError."""
    found = _HOLDER.fullmatch(text)
    if found is None:
        raise ValueError(f'{text[:80]!r} is neither User::"NAME" nor Agent::"NAME"')
    return Entity(found[1], found[2])


def format_public_key(key: VerifyKey) -> str:
    """Write a key as PASERK k4.public (https://github.com/paseto-standard/paserk)."""
    return _PASERK + base64.urlsafe_b64encode(bytes(key)).rstrip(b"=").decode()


def parse_public_key(text: str) -> VerifyKey:
    """Read PASERK k4.public; raises ValueError for any other text."""
    wrong = ValueError(f"a public key is {_PASERK} and 43 base64url characters")
    try:
        key = VerifyKey(base64.urlsafe_b64decode(text.removeprefix(_PASERK) + "="))
    except ValueError:
        raise wrong from None
    if format_public_key(key) != text:  # one key, one spelling
        raise wrong
    return key
