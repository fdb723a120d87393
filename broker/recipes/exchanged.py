"""A credential that never travels: it is exchanged for a short-lived token, which does."""

import ipaddress
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeGuard
from urllib.parse import urlsplit

from broker.errors import RecipeError
from broker.recipes.bearer import Bearer
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

DEFAULT_LIFE_S = 300.0
LONGEST_LIFE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Ask:
    """The one POST that asks for a token; its repr shows no part of a credential."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, the moment it ends, and what replaces the stored secret where it was rotated."""

    token: Secret
    ends: float
    rotated: Secret | None = None


class Exchanged(Recipe):
    """Say how to ask for a token and how to read the answer; who asks is not said here.

    `carrier` is the recipe by which the token travels. `forms` leaves out the lines of a private
    key: they go nowhere, not even to the token endpoint, and 500 more forms made scrubbing ten
    times as slow.
    """

    carrier: ClassVar[Recipe] = Bearer()
    rotates: ClassVar[bool] = False  # an exchange may use the secret up and answer the next one

    def lineage(self, secret: Secret) -> bytes:
        """What stays the same of a secret, however often it is rotated."""
        return secret.reveal()

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        """Refuse: what is stored must not reach the upstream."""
        raise RecipeError(self.text, "the secret was not exchanged for a token")

    @abstractmethod
    def ask(self, secret: Secret, now: float) -> Ask:
        """Return the request for a token; raises RecipeError."""

    def check(self, secret: Secret) -> None:
        self.ask(secret, 0.0)

    def read(self, answer: Mapping[str, Any], secret: Secret, now: float) -> Minted:
        """Read a token endpoint's answer (RFC 6749, 5.1); raises RecipeError."""
        if str(answer.get("token_type", "bearer")).lower() != "bearer":
            raise RecipeError(self.text, "the token endpoint answered with no bearer token")
        life = answer.get("expires_in", DEFAULT_LIFE_S)
        try:
            seconds = min(float(life), LONGEST_LIFE_S)
        except (TypeError, ValueError):
            seconds = DEFAULT_LIFE_S
        return Minted(token_of(self.text, answer, "access_token"), now + max(seconds, 0.0))


def is_exchanged(recipe: Recipe) -> TypeGuard[Exchanged]:
    """True for such a recipe; `isinstance` takes long over a Protocol, and each call asks."""
    return Exchanged in type(recipe).__mro__


def token_of(recipe: str, answer: Mapping[str, Any], name: str) -> Secret:
    """The token in an answer; raises RecipeError for one that cannot travel in a header."""
    try:
        return Secret(str(answer.get(name) or ""))
    except ValueError:
        raise RecipeError(recipe, f"the token endpoint's answer has no usable {name}") from None


def require_url(recipe: str, url: str) -> str:
    """Answer a URL that a credential may be sent to; raises RecipeError for any but https."""
    try:
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))
        plain = url.isascii() and url.isprintable() and " " not in url
        valid = parts.hostname and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        safe = plain = valid = False
    if not (safe and plain and valid):
        raise RecipeError(recipe, "the token endpoint must be an https:// URL")
    return url


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
