"""`bearer`: the secret is a bearer token in the Authorization header (RFC 6750)."""

from dataclasses import dataclass
from typing import ClassVar

from broker.secret import Secret

_SCHEME = "Bearer "


@dataclass(frozen=True, slots=True)
class Bearer:
    """Send `Authorization: Bearer SECRET`."""

    text: ClassVar[str] = "bearer"
    slot: ClassVar[str] = "authorization"

    def carry(self, token: str) -> str:
        return _SCHEME + token

    def token(self, value: str) -> str | None:
        return value.removeprefix(_SCHEME) if value.startswith(_SCHEME) else None

    def render(self, secret: Secret) -> bytes:
        return _SCHEME.encode() + secret.reveal()

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        return (secret.reveal(),)
