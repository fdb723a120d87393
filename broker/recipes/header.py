"""`header:NAME`: the secret is the whole value of a header, such as X-Api-Key."""

import re
from dataclasses import dataclass

from broker.forms import MIN_FORM_BYTES
from broker.secret import Secret

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# They frame the message, belong to one hop, or carry more than a credential.
_RESERVED = {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"),
    *("upgrade", "proxy-connection", "proxy-authorization", "cookie"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Send `NAME: SECRET`; raises ValueError for a name that must not carry a credential."""

    name: str

    def __post_init__(self) -> None:
        if not _FIELD_NAME.fullmatch(self.name):
            raise ValueError(f"recipe header: {self.name!r} is not a header name")
        if self.slot in _RESERVED or self.slot.startswith("interlock-"):
            raise ValueError(f"recipe header: {self.name!r} must not carry a credential")

    @property
    def text(self) -> str:
        return f"header:{self.name}"

    @property
    def slot(self) -> str:
        return self.name.lower()

    def carry(self, token: str) -> str:
        return token

    def token(self, value: str) -> str | None:
        return value or None

    def render(self, secret: Secret) -> bytes:
        return secret.reveal()

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        value = secret.reveal()
        last = value.rpartition(b" ")[2]  # in `token ghp_...` the first word is only the scheme
        return (value, last) if MIN_FORM_BYTES <= len(last) < len(value) else (value,)
