"""The secrets are in a broker's process: each crosses for one grant, whose decision is on disk.

This process then holds it until the token is redeemed at the wire, where nothing may wait.
"""

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker import (
    BrokerError,
    Grant,
    Mask,
    Recipe,
    Secret,
    SecretUnavailableError,
    StoreRefusalError,
    Traces,
    parse_recipe,
)
from broker.remote import Client
from broker.remote.client import PATIENCE_S
from interlock.custody.speech import as_binding, said_of, said_of_grant
from interlock.errors import InterlockError
from interlock.installation import Installation
from interlock.model import Authority, Binding

log = logging.getLogger(__name__)

FOLLOW_S = 0.5
MASK_S = 1.0
KEPT_S = 900.0  # for how long a replaced mask still counts, as in broker.traces


@dataclass(frozen=True, slots=True)
class _Known:
    mask: Mask
    asked_at: float
    change: int


class RemoteCustody:
    """Asks the broker, and mirrors its bindings in the database of this installation."""

    def __init__(
        self,
        installation: Installation,
        client: Client,
        require_sound: Callable[[Sequence[Binding]], None],
    ) -> None:
        """`require_sound` raises BindingError for bindings that must not come into force."""
        self._installation = installation
        self._client = client
        self._require_sound = require_sound
        self._change = -1
        self._tried = asyncio.Event()
        self._known: dict[Authority, _Known] = {}
        self._former: list[tuple[Authority, float, Mask]] = []
        self._traces = Traces()

    async def ready(self, binding: Binding) -> tuple[Recipe, None]:
        """How the secret of a binding will travel; raises SecretUnavailableError.

        The secret stays where it is.
        """
        answer = await self._ask(binding.secret, "ready", **said_of(binding))
        with _readable(binding.secret):
            return parse_recipe(answer["recipe"]), None

    async def release(self, grant: Grant, binding: Binding) -> Secret:
        """The secret of a grant whose decision is on disk; raises SecretUnavailableError."""
        asked = said_of(binding) | {"grant": said_of_grant(grant)}
        answer = await self._ask(binding.secret, "release", **asked)
        source = (binding.secret, binding.recipe)
        with _readable(binding.secret):
            # Taken out, so that whatever fails from here on has it in no variable.
            secret = Secret(base64.b64decode(answer.pop("value"), validate=True))
            forms = parse_recipe(answer["recipe"]).forms
            self._traces.note(binding.authority, source, secret, forms, time.monotonic())
        return secret

    async def know(self, authority: Authority) -> None:
        """Have at hand what answers of a destination must not bring back.

        What was never released to this front door is not known to it. Raises
        SecretUnavailableError: what cannot be scrubbed must not come through.
        """
        await self._first_try()
        bound = self._installation.bindings.at(authority)
        known, now = self._known.get(authority), time.monotonic()
        if not bound or (known and known.change == self._change and now < known.asked_at + MASK_S):
            return
        answer = await self._ask(bound[0].secret, "mask", authority=str(authority))
        with _readable(bound[0].secret):
            forms = answer["forms"].items()
            mask = Mask.of(
                {base64.b64decode(form, validate=True): str(name) for form, name in forms}
            )
        self._former = [one for one in self._former if now < one[1]]
        if known and known.mask.forms != mask.forms:
            self._former.append((authority, now + KEPT_S, known.mask))
        self._known[authority] = _Known(mask, now, self._change)

    def mask_at(self, authority: Authority) -> Mask:
        """What the broker named, what was before, and what was released here."""
        now = time.monotonic()
        mask = self._traces.at(authority, now)
        if known := self._known.get(authority):
            mask |= known.mask
        for place, ends, one in self._former:
            if place == authority and now < ends:
                mask |= one
        return mask

    async def follow(self) -> None:
        """Keep up with the bindings of the broker, for as long as the front door runs."""
        told = ""
        while True:
            try:
                await self.look()
                told = ""
            except (BrokerError, InterlockError) as e:
                if str(e) != told:
                    told = str(e)
                    log.error("bindings NOT renewed, the last good ones stay in force: %s", e)
            await asyncio.sleep(FOLLOW_S)

    async def look(self) -> None:
        """Take up the bindings of the broker; raises StoreRefusalError or InterlockError."""
        try:
            answer = await self._client.ask("bindings", change=self._change)
            bindings, change = _bindings_in(answer)
            if bindings is not None:
                self._require_sound(bindings)
                await asyncio.to_thread(self._installation.mirror, bindings)
            self._change = change
        finally:
            self._tried.set()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def _first_try(self) -> None:
        """Wait until the broker was asked once, or is known not to answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), PATIENCE_S)

    async def _ask(self, name: str, what: str, **said: object) -> dict[str, Any]:
        try:
            return await self._client.ask(what, **said)
        except StoreRefusalError as e:
            raise SecretUnavailableError(name, e.why) from None


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Refuse an answer of another shape than a broker's; quotes nothing of it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        why = str(e) if isinstance(e, ValueError) else "the answer of the broker cannot be read"
        raise SecretUnavailableError(name, why) from None


def _bindings_in(answer: Mapping[str, Any]) -> tuple[list[Binding] | None, int]:
    """The bindings of an answer, None when nothing changed, and the number of the change."""
    try:
        listed = answer.get("bindings")
        bindings = None if listed is None else [as_binding(each) for each in listed]
        return bindings, int(answer["change"])
    except (ValueError, KeyError, TypeError) as e:
        raise StoreRefusalError(f"its bindings cannot be read: {e}") from None
