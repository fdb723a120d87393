"""What a call takes along: fetched, exchanged where need be, and still its own when it leaves."""

import time
from dataclasses import replace

from broker import Grant, Secret, SecretUnavailableError
from interlock.custody import Custody
from interlock.errors import RegistryError
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding
from interlock.plan import Plan
from interlock.verdict import Credential


class Purse:
    """The secrets of one installation on their way to the wire."""

    def __init__(self, installation: Installation, custody: Custody) -> None:
        self._records = installation
        self._custody = custody

    async def open(self, plan: Plan, agent: Agent, authority: Authority) -> tuple[Credential, ...]:
        """What a call takes along, ready to travel; raises SecretUnavailableError."""
        found = []
        if plan.binding:
            found.append(await self._fetch(plan.binding, agent, authority))
        if use := plan.use:
            bound = Binding(use.minted.secret, authority, use.recipe.usage)
            self.require_unchanged(bound, use.minted.id, agent, authority)
            found.append(Credential(bound, use.recipe, use.secret, use.minted.id))
        return tuple(found)

    async def release(self, grant: Grant, credential: Credential, authority: Authority) -> Secret:
        """The secret of a grant; raises SecretUnavailableError.

        Its decision is written, and on disk where a broker elsewhere has the secret.
        """
        if credential.secret:
            return credential.secret
        bound = replace(credential.binding, authority=authority)
        return await self._custody.release(grant, bound)

    def require_unchanged(
        self, binding: Binding, minted: str, agent: Agent, authority: Authority
    ) -> None:
        """Raise SecretUnavailableError for what a person took away while the call waited.

        `minted` is the id of a minted token, whose binding stands nowhere.
        """
        try:
            self._records.registry.require_good_standing([agent.name], time.time())
        except RegistryError as e:
            raise SecretUnavailableError(binding.secret, str(e)) from None
        if minted:
            if not self._records.minting.holds(minted, time.time()):
                raise SecretUnavailableError(binding.secret, "it is not kept any more")
        elif binding not in self._records.bindings.at(authority):
            raise SecretUnavailableError(binding.secret, "it is not bound like that any more")

    async def _fetch(self, binding: Binding, agent: Agent, authority: Authority) -> Credential:
        """The secret, wherever it is kept, or the token it is exchanged for."""
        here = binding if binding.authority == authority else replace(binding, authority=authority)
        ready = await self._custody.ready(here)
        self.require_unchanged(binding, "", agent, authority)
        return Credential(binding, *ready)
