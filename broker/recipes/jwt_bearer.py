"""`jwt_bearer`: a service account's key signs a JWT, which is exchanged (RFC 7523, 2.1).

A key file of Google Cloud can be stored as it is; its scope goes into the recipe.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from broker.errors import RecipeError
from broker.recipes.assertion import signed
from broker.recipes.exchanged import Ask, Exchanged, require_url
from broker.recipes.fields import fields_of
from broker.recipes.oauth2 import FORM
from broker.secret import Secret

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_S = 300
# What Google's key files call the fields.
_ALIASES = {"token_url": "token_uri", "issuer": "client_email", "key_id": "private_key_id"}


@dataclass(frozen=True, slots=True)
class JwtBearer(Exchanged):
    """Send `Authorization: Bearer` with a token that a signed JWT was exchanged for."""

    usage: ClassVar[str] = "jwt_bearer:SCOPE"
    holds: ClassVar[str] = (
        "a service account (or Google's key file); `subject`, `audience`, `key_id`, `algorithm` "
        "may be added; the recipe may go without `:SCOPE`"
    )
    fields: ClassVar[tuple[str, ...]] = ("token_url", "issuer", "private_key")
    scope: str = ""

    def __post_init__(self) -> None:
        if not (self.scope.isascii() and self.scope.isprintable()):
            raise ValueError(f"recipe jwt_bearer: the scope {self.scope!r} must be printable ASCII")

    @property
    def text(self) -> str:
        return f"jwt_bearer:{self.scope}" if self.scope else "jwt_bearer"

    def ask(self, secret: Secret, now: float) -> Ask:
        fields = self._fields(secret)
        url = require_url(self.text, fields["token_url"])
        said = f"{fields['issuer']} {now!r}".encode()
        claims: dict[str, Any] = {
            "iss": fields["issuer"],
            "sub": fields.get("subject", fields["issuer"]),
            "aud": fields.get("audience", url),
            "iat": int(now),
            "exp": int(now) + LIFE_S,
            "jti": hashlib.sha256(said).hexdigest()[:32],
        }
        if scope := self.scope or fields.get("scope"):
            claims["scope"] = scope
        key = fields["private_key"]
        algorithm, kid = fields.get("algorithm", ""), fields.get("key_id", "")
        assertion = signed(self.text, claims, key, algorithm, kid)
        return Ask(url, FORM, urlencode({"grant_type": GRANT, "assertion": assertion}).encode())

    def _fields(self, secret: Secret) -> Mapping[str, str]:
        found = fields_of(self.text, secret, ())
        fields = {ours: found[theirs] for ours, theirs in _ALIASES.items() if theirs in found}
        fields |= found
        if missing := [name for name in self.fields if not fields.get(name)]:
            raise RecipeError(self.text, f"the secret has no {', '.join(missing)}")
        return fields
