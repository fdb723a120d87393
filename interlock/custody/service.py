"""What a broker answers to the front doors that it serves."""

import base64
import logging
import time
from collections.abc import Mapping
from typing import Any

from broker import Grant, Mask, Recipe, Secret, SecretUnavailableError, Traces, parse_recipe
from broker.capability import MAX_TTL
from interlock.calls.hosts import parse_destination
from interlock.custody.local import LocalCustody
from interlock.custody.speech import as_binding, as_grant, said_of
from interlock.errors import LedgerUnavailableError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import moment_of, new_id
from interlock.model import Authority, Binding
from interlock.store.spent import KEEP_AFTER_EXPIRY

log = logging.getLogger(__name__)


class Service:
    """Releases a secret once for each grant, to a host that it is bound to, and records that."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._custody = LocalCustody(installation)
        self._released = Traces()

    async def answer(self, question: Mapping[str, Any], who: str) -> Mapping[str, Any]:
        """Answer one question (`broker.remote.Answer`); raises BrokerError for a refusal."""
        match question["ask"]:
            case "ready":
                return await self._ready(self._bound(as_binding(question)))
            case "release":
                binding = self._bound(as_binding(question))
                return await self._release(as_grant(question["grant"]), binding, who)
            case "mask":
                return self._mask(parse_destination(str(question["authority"])), who)
            case "bindings":
                return self._bindings(int(question["change"]))
        raise ValueError("there is no such question")

    async def _ready(self, binding: Binding) -> dict[str, str]:
        recipe, _ = await self._custody.ready(binding)
        return {"recipe": recipe.text}

    async def _release(self, grant: Grant, binding: Binding, who: str) -> dict[str, str]:
        """Hand a secret over, once it is on disk that this grant had it."""
        if (grant.secret, grant.authority) != (binding.secret, str(binding.authority)):
            raise SecretUnavailableError(binding.secret, "the grant is for another one")
        recipe, secret = await self._custody.ready(binding)
        await self._record(grant, who)
        self._note(binding, recipe, secret, who)
        log.info("%s for %s to %s [%s]", grant.secret, grant.authority, who, grant.decision_id)
        value = base64.b64encode(secret.reveal()).decode()
        return {"value": value, "recipe": recipe.text}

    async def _record(self, grant: Grant, who: str) -> None:
        """Spend the id of the grant, in one transaction with the row that tells of it."""
        now = time.time()
        # So that an id that is forgotten as spent is too old to come back.
        if not now - MAX_TTL <= moment_of(grant.id) <= now + KEEP_AFTER_EXPIRY:
            why = "not released: its grant is not of now; compare the clocks of both machines"
            raise SecretUnavailableError(grant.secret, why)
        body = {
            "secret": grant.secret,
            "authority": grant.authority,
            "token": grant.id,
            "released_to": who,
        }
        event = Event(new_id("evt"), now, "secret_access", grant.agent, grant.decision_id, body)
        try:
            await self._installation.ledger.decide(
                [event], tokens=[grant.id], expires_at=now + MAX_TTL
            )
        except LedgerUnavailableError as e:
            raise SecretUnavailableError(grant.secret, f"not released: {e}") from None

    def _note(self, binding: Binding, recipe: Recipe, secret: Secret, who: str) -> None:
        """Remember what a front door has had; raises SecretUnavailableError beyond its bounds."""
        place, now = (who, binding.secret), time.monotonic()
        try:
            self._released.note(place, binding.recipe, secret, recipe.forms, now)
        except ValueError as e:
            raise SecretUnavailableError(binding.secret, str(e)) from None

    def _mask(self, authority: Authority, who: str) -> dict[str, dict[str, str]]:
        """What would reveal the values that this front door has had already, and no others.

        Its other processes, and itself after a restart, scrub answers of them. Forms of any other
        value would be that value, given away without a grant.
        """
        found = Mask(())
        for binding in self._installation.bindings.at(authority):
            found |= self._released.at((who, binding.secret), time.monotonic())
        forms = found.forms.items()
        return {"forms": {base64.b64encode(form).decode(): name for form, name in forms}}

    def _bindings(self, known: int) -> dict[str, Any]:
        change = self._installation.database.change
        if change == known:
            return {"change": change}
        bindings = self._installation.bindings.all()
        return {"change": change, "bindings": list(map(said_of, bindings))}

    def _bound(self, asked: Binding) -> Binding:
        """The asked binding, if it is one of ours; raises SecretUnavailableError (I1)."""
        parse_recipe(asked.recipe)
        for binding in self._installation.bindings.at(asked.authority):
            if (binding.secret, binding.recipe) == (asked.secret, asked.recipe):
                return asked
        raise SecretUnavailableError(asked.secret, f"it is not bound to {asked.authority}")
