"""`bearer`: the secret is a bearer token in the Authorization header (RFC 6750)."""

from dataclasses import dataclass
from typing import ClassVar

from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import AUTHORIZATION, Recipe
from broker.secret import Secret


@dataclass(frozen=True, slots=True)
class Bearer(Recipe):
    """Send `Authorization: Bearer SECRET`."""

    usage: ClassVar[str] = "bearer"
    holds: ClassVar[str] = "the token"

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        return outgoing.with_header(AUTHORIZATION, b"Bearer " + secret.reveal())
