"""`client_certificate`: the secret is shown when TLS is set up, not in a request (RFC 8446, 4.4.2).

It stays what every secret is: of one host, and of calls that were cleared for it, one by one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from broker.errors import RecipeError
from broker.recipes.fields import fields_of
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

CERTIFICATE_SLOT = "interlock-certificate"


@dataclass(frozen=True, slots=True)
class ClientCertificate(Recipe):
    """Show a certificate, and prove its key, when the connection is set up (mutual TLS); raises
    ValueError for a recipe that cannot stand beside it.
    """

    usage: ClassVar[str] = "client_certificate"
    holds: ClassVar[str] = "PEM, the chain with the client's own certificate first"
    fields: ClassVar[tuple[str, ...]] = ("certificate", "private_key")
    # How the field `secret` of the same secret goes on the request, where an upstream wants both.
    beside: Recipe | None = None

    def __post_init__(self) -> None:
        if self.beside and self.beside.fields:
            raise ValueError(f"recipe {self.usage}: {self.beside.text} cannot stand beside it")

    @property
    def text(self) -> str:
        return f"{self.usage}:{self.beside.text}" if self.beside else self.usage

    @property
    def slot(self) -> str:
        return self.beside.slot if self.beside else CERTIFICATE_SLOT

    def check(self, secret: Secret) -> None:
        self.identity(secret)
        if self.beside:
            self.beside.check(self._text_of(secret))

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        """Leave the connection to whoever lets the request out."""
        if self.beside is None:
            return outgoing
        return self.beside.apply(outgoing, self._text_of(secret), now)

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        """Nothing of the certificate, which is public, nor of its key, which goes nowhere."""
        return self.beside.forms(self._text_of(secret)) if self.beside else ()

    def _text_of(self, secret: Secret) -> Secret:
        """What goes on the request; raises RecipeError that says nothing of it."""
        text = fields_of(self.text, secret, ("secret",))["secret"]
        try:
            return Secret(text)
        except ValueError as e:
            raise RecipeError(self.text, f"its field secret: {e}") from None

    def identity(self, secret: Secret) -> "tuple[list[Certificate], PrivateKeyTypes]":
        """The chain and the key; raises RecipeError that says nothing of the key."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        fields = fields_of(self.text, secret, self.fields)
        try:
            chain = load_pem_x509_certificates(fields["certificate"].encode())
        except ValueError:
            raise RecipeError(self.text, "certificate is no chain in PEM") from None
        try:
            key = load_pem_private_key(fields["private_key"].encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise RecipeError(self.text, "private_key is no key in PEM without password") from None
        if chain[0].public_key() != key.public_key():
            raise RecipeError(self.text, "private_key is not that of the first certificate")
        return chain, key
