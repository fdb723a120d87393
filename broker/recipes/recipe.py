"""What a recipe is: the way one kind of credential rides on a request."""

from typing import ClassVar, Protocol

from broker.recipes.outgoing import Outgoing
from broker.secret import Secret

AUTHORIZATION = "authorization"
_SCHEME = "Bearer "


class Recipe(Protocol):
    """Put a secret on a request that is about to leave, in place of what the agent sent there.

    `usage` is how people write the recipe, `holds` what its secret is. `fields` names what a
    secret that is a JSON object must have; it is empty for one that is plain text.
    """

    usage: ClassVar[str]
    holds: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()

    @property
    def text(self) -> str:
        """The recipe as people wrote it; `parse_recipe(recipe.text) == recipe`."""
        return self.usage

    @property
    def slot(self) -> str:
        """The lower-case name of the header in which the flow carries the token."""
        return AUTHORIZATION

    def check(self, secret: Secret) -> None:
        """Raise RecipeError for a secret that can never travel this way."""
        return None

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        """Answer the request with the secret on it, alone; raises RecipeError."""
        ...

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        """Return the byte strings that reveal the secret, as stored and as it travels.

        `forms_of` adds their encodings. What travels escaped counts by itself, because its base64
        has nothing in common with that of the secret.
        """
        return (secret.reveal(),)


def carrier(slot: str, token: str) -> str:
    """The value of the header `slot` that carries a token through the flow."""
    return _SCHEME + token if slot == AUTHORIZATION else token


def token_in(slot: str, value: str) -> str | None:
    """The token that such a value carries, None when it carries none."""
    scheme = _SCHEME if slot == AUTHORIZATION else ""
    return value.removeprefix(scheme) or None if value.startswith(scheme) else None
