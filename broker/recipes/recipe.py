"""What a recipe is: the way one kind of credential rides on a request."""

from typing import Protocol

from broker.secret import Secret


class Recipe(Protocol):
    """Put a token, and at the wire the secret in its place, into one header of a request."""

    @property
    def text(self) -> str:
        """The recipe as people write it; `parse_recipe(recipe.text) == recipe`."""

    @property
    def slot(self) -> str:
        """The lower-case name of the header that the recipe owns."""

    def carry(self, token: str) -> str:
        """Return the header value that carries an SCT through the flow."""

    def token(self, value: str) -> str | None:
        """Return the SCT that a header value carries, None when it carries none."""

    def render(self, secret: Secret) -> bytes:
        """Return the header value that the upstream expects; raises RecipeError."""

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        """Return the byte strings that reveal the secret; `forms_of` adds their encodings."""
