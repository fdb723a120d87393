"""`basic`: the secret is `user:password`, sent as HTTP Basic authentication (RFC 7617)."""

import base64
from dataclasses import dataclass
from typing import ClassVar

from broker.errors import RecipeError
from broker.forms import MIN_FORM_BYTES
from broker.recipes.bearer import Bearer
from broker.secret import Secret

_CARRIER = Bearer()  # an SCT is a bearer token, whatever the credential is


@dataclass(frozen=True, slots=True)
class Basic:
    """Send `Authorization: Basic base64(SECRET)`."""

    text: ClassVar[str] = "basic"
    slot: ClassVar[str] = _CARRIER.slot

    def carry(self, token: str) -> str:
        return _CARRIER.carry(token)

    def token(self, value: str) -> str | None:
        return _CARRIER.token(value)

    def render(self, secret: Secret) -> bytes:
        if b":" not in secret.reveal():
            raise RecipeError(self.text, "the secret must have the form user:password")
        return b"Basic " + base64.b64encode(secret.reveal())

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        value = secret.reveal()
        user, _, password = value.partition(b":")
        key = password or user  # an API key alone may be the user, with an empty password
        pair = (value, base64.b64encode(value))
        return (*pair, key) if MIN_FORM_BYTES <= len(key) < len(value) else pair
