"""`oauth2:refresh_token`: a refresh token, exchanged for an access token (RFC 6749, 6)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from broker.errors import RecipeError
from broker.recipes.exchanged import Ask, Exchanged, Minted
from broker.recipes.fields import fields_of, parts_of
from broker.recipes.oauth2 import grant
from broker.secret import Secret


@dataclass(frozen=True, slots=True)
class RefreshToken(Exchanged):
    """Send `Authorization: Bearer` with a token that the refresh token was exchanged for."""

    usage: ClassVar[str] = "oauth2:refresh_token"
    holds: ClassVar[str] = "a grant; `client_secret`, `scope`, `auth_method` may be added"
    fields: ClassVar[tuple[str, ...]] = ("token_url", "client_id", "refresh_token")
    rotates: ClassVar[bool] = True

    def lineage(self, secret: Secret) -> bytes:
        fields = fields_of(self.text, secret, self.fields)
        rest = {name: value for name, value in fields.items() if name != "refresh_token"}
        return json.dumps(rest | {"origin": _origin(fields)}, sort_keys=True).encode()

    def ask(self, secret: Secret, now: float) -> Ask:
        fields = dict(fields_of(self.text, secret, self.fields))
        token = fields["refresh_token"]
        return grant(self.text, fields, "refresh_token", refresh_token=token)

    def read(self, answer: Mapping[str, Any], secret: Secret, now: float) -> Minted:
        # Named in full: a dataclass with slots is not the class that a bare super() looks for.
        minted = Exchanged.read(self, answer, secret, now)
        fields = fields_of(self.text, secret, self.fields)
        rotated = answer.get("refresh_token")
        if not rotated or rotated == fields["refresh_token"]:
            return minted
        return replace(minted, rotated=self._rotated(fields, rotated))

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        fields = fields_of(self.text, secret, self.fields)
        return (secret.reveal(), *parts_of(fields, "client_secret", "refresh_token"))

    def _rotated(self, fields: Mapping[str, str], token: object) -> Secret:
        """The stored secret with the new refresh token, which replaces the one just used."""
        try:
            told = {**fields, "refresh_token": str(token), "origin": _origin(fields)}
            return Secret(json.dumps(told))
        except ValueError:
            raise RecipeError(self.text, "the new refresh token is too long to keep") from None


def _origin(fields: Mapping[str, str]) -> str:
    """What tells a grant that a person stored from another one; its rotations share it."""
    known = fields.get("origin")
    return known or hashlib.sha256(fields["refresh_token"].encode()).hexdigest()[:16]
