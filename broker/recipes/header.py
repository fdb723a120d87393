"""`header:NAME`: the secret is the whole value of a header, such as X-Api-Key."""

import re
from dataclasses import dataclass
from typing import ClassVar

from broker.forms import MIN_FORM_BYTES
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# They frame the message, belong to one hop, or carry more than a credential.
_RESERVED = {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"),
    *("upgrade", "proxy-connection", "proxy-authorization", "cookie"),
}


@dataclass(frozen=True, slots=True)
class Header(Recipe):
    """Send `NAME: SECRET`; raises ValueError for a name that must not carry a credential."""

    usage: ClassVar[str] = "header:NAME"
    holds: ClassVar[str] = "the whole value of the header"
    name: str

    def __post_init__(self) -> None:
        require_header("header", self.name)

    @property
    def text(self) -> str:
        return f"header:{self.name}"

    @property
    def slot(self) -> str:
        return self.name.lower()

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        return outgoing.with_header(self.name, secret.reveal())

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        value = secret.reveal()
        last = value.rpartition(b" ")[2]  # in `token ghp_...` the first word is only the scheme
        return (value, last) if MIN_FORM_BYTES <= len(last) < len(value) else (value,)


def require_header(recipe: str, name: str) -> None:
    """Raise ValueError for what is no header name, or must not carry a credential."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"recipe {recipe}: {name!r} is not a header name")
    plain = name.lower().replace("_", "-")
    if plain in _RESERVED or plain.startswith("interlock-"):
        raise ValueError(f"recipe {recipe}: {name!r} must not carry a credential")
