"""Exchanges stored secrets for short-lived tokens: each once, shared by all who wait for it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from broker.endpoint import post
from broker.errors import RecipeError, SecretUnavailableError
from broker.recipes import Recipe
from broker.recipes.exchanged import Ask, Exchanged, Minted, is_exchanged
from broker.scrubber import Mask
from broker.secret import Secret

MARGIN_S = 60.0  # before its end, a token is replaced; a short-lived one when a fifth is left
FAILED_S = 2.0  # for so long a failure is the answer, so that nobody hammers an endpoint through us
MOST = 1024

type Key = tuple[str, str, bytes]
type Keep = Callable[[str, Secret, Secret], Awaitable[None]]
type Turn = Callable[[str], AbstractAsyncContextManager[Secret | None]]
type Post = Callable[[str, Ask], Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def _alone(name: str) -> AsyncIterator[Secret | None]:
    """The turn of a process that shares its secrets with nobody."""
    yield None


def _identity(recipe: Exchanged, secret: Secret) -> bytes:
    return hashlib.sha256(recipe.lineage(secret)).digest()


@dataclass(frozen=True, slots=True)
class _Alive:
    minted: Minted
    fresh_until: float


class Exchange:
    """The tokens of one process, by secret.

    `keep(name, old, new)` stores a rotated secret in the place of the old one, durably. `turn`
    waits until no other process exchanges a secret, and answers what is stored of it by then.
    """

    def __init__(self, keep: Keep, turn: Turn = _alone, ask: Post = post) -> None:
        self._keep = keep
        self._turn = turn
        self._ask = ask
        self._alive: dict[Key, _Alive] = {}
        self._masks: list[tuple[str, float, Mask]] = []  # of replaced tokens too, to their end
        self._failed: dict[Key, tuple[float, str]] = {}
        self._pending: dict[Key, asyncio.Task[Secret]] = {}
        self._unsaved: dict[Key, Secret] = {}

    async def ready(
        self, name: str, recipe: Recipe, secret: Secret, now: float
    ) -> tuple[Recipe, Secret]:
        """Answer what travels for a stored secret, and how; raises SecretUnavailableError."""
        if not is_exchanged(recipe):
            return recipe, secret
        key = (name, recipe.text, _identity(recipe, secret))
        alive = self._alive.get(key)
        if alive and now < alive.fresh_until and key not in self._unsaved:
            return recipe.carrier, alive.minted.token
        until, why = self._failed.get(key, (0.0, ""))
        if now < until:
            raise SecretUnavailableError(name, why)
        if key not in self._pending:
            task = asyncio.create_task(self._mint(key, recipe, secret, now))
            self._pending[key] = task
            task.add_done_callback(partial(self._settled, key))
        # Shielded: a caller that goes away must not take the token from those who wait with it.
        return recipe.carrier, await asyncio.shield(self._pending[key])

    @property
    def is_used(self) -> bool:
        """True once it has tokens that answers must be scrubbed of."""
        return bool(self._masks)

    def mask(self, names: Iterable[str], now: float) -> Mask:
        """What would reveal the tokens of some secrets that are still good."""
        wanted = set(names)
        mask = Mask(())
        for name, ends, one in self._masks:
            if name in wanted and now < ends:
                mask |= one
        return mask

    async def _mint(self, key: Key, recipe: Exchanged, secret: Secret, now: float) -> Secret:
        if not recipe.rotates:
            return await self._asked(key, recipe, secret, now)
        async with self._turn(key[0]) as stored:
            # Another process may have used up what was read before; a person may have changed it.
            ours = stored is not None and _identity(recipe, stored) == key[2]
            return await self._asked(key, recipe, stored if stored and ours else secret, now)

    async def _asked(self, key: Key, recipe: Exchanged, secret: Secret, now: float) -> Secret:
        name, text, _ = key
        alive = self._alive.get(key)
        if alive and now < alive.fresh_until:
            await self._save(key, secret)
            return alive.minted.token
        try:
            current = self._unsaved.get(key, secret)
            answer = await self._ask(text, recipe.ask(current, now))
            minted = recipe.read(answer, current, now)
        except RecipeError as e:
            self._failed[key] = (now + FAILED_S, str(e))
            raise SecretUnavailableError(name, str(e)) from None
        self._remember(key, minted, now)
        self._masks = [known for known in self._masks if now < known[1]][-MOST:]
        self._masks.append((name, minted.ends, Mask(recipe.carrier.forms(minted.token))))
        if minted.rotated:
            self._unsaved[key] = minted.rotated
        if key in self._unsaved:
            await self._save(key, secret)
        return minted.token

    async def _save(self, key: Key, secret: Secret) -> None:
        """Store the rotated secret; what cannot be stored now is kept in memory and used next."""
        await self._keep(key[0], secret, self._unsaved[key])
        del self._unsaved[key]

    def _remember(self, key: Key, minted: Minted, now: float) -> None:
        self._alive = {k: a for k, a in self._alive.items() if now < a.minted.ends}
        self._failed = {k: f for k, f in self._failed.items() if now < f[0]}
        while len(self._alive) >= MOST:
            del self._alive[next(iter(self._alive))]
        fresh = minted.ends - min(MARGIN_S, (minted.ends - now) / 5)
        self._alive[key] = _Alive(minted, fresh)

    def _settled(self, key: Key, task: asyncio.Task[Secret]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # those who waited have it; nobody else needs to hear of it
