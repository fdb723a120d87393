"""`oauth2:client_credentials`: a client id and secret, exchanged for a token (RFC 6749, 4.4)."""

from dataclasses import dataclass
from typing import ClassVar

from broker.recipes.exchanged import Ask, Exchanged
from broker.recipes.fields import fields_of, parts_of
from broker.recipes.oauth2 import grant
from broker.secret import Secret


@dataclass(frozen=True, slots=True)
class ClientCredentials(Exchanged):
    """Send `Authorization: Bearer` with a token that the client secret was exchanged for."""

    usage: ClassVar[str] = "oauth2:client_credentials"
    holds: ClassVar[str] = "a client; `scope`, `audience`, `auth_method` may be added"
    fields: ClassVar[tuple[str, ...]] = ("token_url", "client_id", "client_secret")

    def ask(self, secret: Secret, now: float) -> Ask:
        fields = fields_of(self.text, secret, self.fields)
        return grant(self.text, fields, "client_credentials")

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        fields = fields_of(self.text, secret, self.fields)
        return (secret.reveal(), *parts_of(fields, "client_secret"))
