"""`query:NAME`: the secret is a parameter of the query, as Google Maps and many older APIs want."""

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from broker.errors import RecipeError
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

NAME = re.compile(r"[A-Za-z0-9._~-]+")  # what needs no encoding (RFC 3986, 2.3)


@dataclass(frozen=True, slots=True)
class Query(Recipe):
    """Send `?NAME=SECRET`, percent-encoded, behind the other parameters of the query."""

    usage: ClassVar[str] = "query:NAME"
    holds: ClassVar[str] = "the value of the parameter"
    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"recipe query: {self.name!r} is not a plain parameter name")

    @property
    def text(self) -> str:
        return f"query:{self.name}"

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        if "#" in outgoing.path:
            raise RecipeError(self.text, "what stands behind a # never arrives as a parameter")
        return outgoing.with_parameter(self.name, escaped(secret))

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys((secret.reveal(), escaped(secret).encode())))


def escaped(secret: Secret) -> str:
    """The secret as it stands in a query, with every other character percent-encoded."""
    return quote(secret.reveal(), safe="")
