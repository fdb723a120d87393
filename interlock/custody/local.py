"""The secrets are opened in this process."""

import time
from functools import partial

from broker import Exchange, Grant, Mask, Recipe, Secret, parse_recipe
from interlock.custody.turn import turn_of
from interlock.installation import Installation
from interlock.model import Authority, Binding


class LocalCustody:
    """Opens what is sealed, fetches what is kept elsewhere, exchanges what has to be."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._exchange = Exchange(installation.replace_secret, partial(turn_of, installation))

    async def ready(self, binding: Binding) -> tuple[Recipe, Secret]:
        """What will travel for a binding of one destination, and how.

        Raises SecretUnavailableError.
        """
        secret = await self._installation.fetch(binding)
        recipe = parse_recipe(binding.recipe)
        return await self._exchange.ready(binding.secret, recipe, secret, time.time())

    async def release(self, grant: Grant, binding: Binding) -> Secret:
        """The secret of a grant whose decision is on disk; raises SecretUnavailableError."""
        _, secret = await self.ready(binding)
        return secret

    async def know(self, authority: Authority) -> None:
        """Have at hand what answers of a destination must not bring back: it is, always."""

    def mask_at(self, authority: Authority) -> Mask:
        """Everything that an answer of a destination must not bring back: secrets and tokens."""
        known = self._installation.mask_at(authority)
        if not self._exchange.is_used:
            return known
        names = [binding.secret for binding in self._installation.bindings.at(authority)]
        return known | self._exchange.mask(names, time.time())

    async def follow(self) -> None:
        """Keep up with what changes elsewhere: nothing does."""

    def close(self) -> None:
        """Nothing is open."""
