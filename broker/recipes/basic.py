"""`basic`: the secret is `user:password`, sent as HTTP Basic authentication (RFC 7617)."""

import base64
from dataclasses import dataclass
from typing import ClassVar

from broker.errors import RecipeError
from broker.forms import MIN_FORM_BYTES
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import AUTHORIZATION, Recipe
from broker.secret import Secret


@dataclass(frozen=True, slots=True)
class Basic(Recipe):
    """Send `Authorization: Basic base64(SECRET)`."""

    usage: ClassVar[str] = "basic"
    holds: ClassVar[str] = "`user:password`"

    def check(self, secret: Secret) -> None:
        if b":" not in secret.reveal():
            raise RecipeError(self.text, "the secret must have the form user:password")

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        self.check(secret)
        return outgoing.with_header(AUTHORIZATION, b"Basic " + base64.b64encode(secret.reveal()))

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        value = secret.reveal()
        user, _, password = value.partition(b":")
        key = password or user  # an API key alone may be the user, with an empty password
        pair = (value, base64.b64encode(value))
        return (*pair, key) if MIN_FORM_BYTES <= len(key) < len(value) else pair
