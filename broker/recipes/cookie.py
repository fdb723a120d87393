"""`cookie:NAME`: the secret is the value of a cookie (RFC 6265), such as a session's."""

import re
from dataclasses import dataclass
from typing import ClassVar

from broker.errors import RecipeError
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")  # cookie-octet
_BORDER = re.compile(rb"[;,]")  # a comma separates cookies for parsers that follow RFC 2965


@dataclass(frozen=True, slots=True)
class Cookie(Recipe):
    """Send `Cookie: NAME=SECRET`, behind the agent's other cookies."""

    usage: ClassVar[str] = "cookie:NAME"
    holds: ClassVar[str] = "the value of the cookie"
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"recipe cookie: {self.name!r} is not a cookie name")

    @property
    def text(self) -> str:
        return f"cookie:{self.name}"

    def check(self, secret: Secret) -> None:
        if not _VALUE.fullmatch(secret.reveal()):
            why = "a cookie holds no blank, quote, comma, semicolon, backslash or non-ASCII byte"
            raise RecipeError(self.text, why)

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        self.check(secret)
        sent = b"; ".join(outgoing.values("cookie"))
        others = [cookie for part in sent.split(b";") if (cookie := self._others(part))]
        ours = self.name.encode() + b"=" + secret.reveal()
        return outgoing.with_header("cookie", b"; ".join([*others, ours]))

    def _others(self, part: bytes) -> bytes:
        """One cookie of the agent, empty when it could be taken for ours."""
        names = [piece.partition(b"=")[0].strip() for piece in _BORDER.split(part)]
        taken = any(name.strip(b'"').lower() == self.name.lower().encode() for name in names)
        return b"" if taken else part.strip()
