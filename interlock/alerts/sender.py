"""Posts what waits in the outbox, in order for each webhook, until it is taken or given up."""

import asyncio
import logging
import random
import sqlite3
import ssl
import time
from collections.abc import Callable
from functools import partial

import httpx

from interlock.alerts.outbox import Delivery, Outbox
from interlock.alerts.signature import HEADER, sign
from interlock.alerts.webhooks import Address, listed
from interlock.errors import AlertError, StoreError
from interlock.installation import Installation
from interlock.ledger.ledger import new_id
from interlock.store.turns import give_back, take

log = logging.getLogger(__name__)

POLL_S = 0.25
SWEEP_S = 5.0
# A receiver has this long to take one post, in all.
TIME_LIMIT_S = 10.0
# Longer than a post, so that nobody else begins while one of ours is under way.
LEASE_S = 15.0
LEASE = "webhooks"

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 300.0
GIVE_UP_AFTER_S = 3 * 24 * 3600.0
# What a receiver does not want it will not want tomorrow; but somebody may be mending it.
MOST_REFUSALS = 5
PASSING = (408, 425, 429)


class Sender:
    """One per process; of several over one store, the one whose turn it is sends."""

    def __init__(self, installation: Installation) -> None:
        self._records = installation
        self._outbox = Outbox(installation.database, installation.ledger.admin)
        self._holder = new_id("snd")
        self._turn_until = 0.0
        self._swept_at = 0.0
        self._under_way: dict[str, asyncio.Task[int]] = {}
        self._client = new_client()

    async def run(self) -> None:
        """Send whatever comes, until cancelled."""
        async with self._client:
            while True:
                try:
                    await self._look()
                except (StoreError, sqlite3.Error) as e:
                    log.warning("the outbox of webhooks cannot be used: %s", e)
                await asyncio.sleep(POLL_S)

    async def drain(self) -> tuple[int, int]:
        """Send once what is due; answer how many were delivered and how many wait on.

        Raises AlertError when another process is sending.
        """
        try:
            if not await self._in_turn():
                raise AlertError("another process, such as the front door, is sending already")
            webhooks = [webhook.id for webhook in listed(self._records.database)]
            async with self._client:
                done = await asyncio.gather(*map(self._deliver_all, webhooks))
            await self._sweep()
            return sum(done), sum(self._outbox.next(each) is not None for each in webhooks)
        finally:
            self.stop()

    def stop(self) -> None:
        """Let another process send; a post that is under way will be sent once more."""
        for task in list(self._under_way.values()):
            task.cancel()
        if self._turn_until:
            self._records.database.submit(lambda c: give_back(c, LEASE, self._holder))

    async def _look(self) -> None:
        """Begin with every webhook that something is due for and nothing is under way to."""
        webhooks = [webhook.id for webhook in listed(self._records.database)]
        if not any(map(self._outbox.next, webhooks)) or not await self._in_turn():
            return
        if time.time() >= self._swept_at + SWEEP_S:
            await self._sweep()
        for webhook_id in webhooks:
            if webhook_id not in self._under_way and self._due(webhook_id):
                task = asyncio.create_task(self._deliver_all(webhook_id))
                self._under_way[webhook_id] = task
                task.add_done_callback(partial(self._ended, webhook_id))

    def _ended(self, webhook_id: str, _: asyncio.Task[int]) -> None:
        self._under_way.pop(webhook_id, None)

    def _due(self, webhook_id: str) -> Delivery | None:
        waiting = self._outbox.next(webhook_id)
        return waiting if waiting and waiting.due_at <= time.time() else None

    async def _deliver_all(self, webhook_id: str) -> int:
        """Send what is due, one after the other; answer how many were taken."""
        count = 0
        try:
            address = self._records.webhooks.address(webhook_id)
            while (delivery := self._due(webhook_id)) and await self._in_turn():
                answer = await post(self._client, address, delivery.body.encode())
                await self._write(self._consequence(delivery, answer, time.time()))
                count += answer.startswith("2")
        except (AlertError, StoreError, sqlite3.Error) as e:
            log.warning("webhook %s: %s", webhook_id, e)
        return count

    def _consequence(
        self, delivery: Delivery, answer: str, now: float
    ) -> Callable[[sqlite3.Connection], None]:
        if answer.startswith("2"):
            return self._outbox.delivered(delivery.seq, answer, now)
        if is_hopeless(delivery, answer, now):
            log.warning("webhook %s: %s is given up: %s", delivery.webhook, delivery.event, answer)
            return self._outbox.given_up(delivery, answer, now)
        again = now + delay(delivery.attempts, random.random())  # noqa: S311 - no secret
        return self._outbox.failed(delivery.seq, answer, again)

    async def _in_turn(self) -> bool:
        """Keep the turn for at least one more post, or answer that another process does."""
        now = time.time()
        if now + TIME_LIMIT_S < self._turn_until:
            return True
        until = now + LEASE_S
        taken = await self._write(lambda c: take(c, LEASE, self._holder, now, until))
        self._turn_until = until if taken else 0.0
        return taken

    async def _sweep(self) -> None:
        self._swept_at = time.time()
        await self._write(self._outbox.sweep(self._swept_at))

    async def _write[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._records.database.submit(work))


def new_client() -> httpx.AsyncClient:
    """A client that posts where it was told to: no redirects, no proxies of the environment."""
    return httpx.AsyncClient(
        verify=ssl.create_default_context(), trust_env=False, timeout=TIME_LIMIT_S
    )


async def post(client: httpx.AsyncClient, address: Address, body: bytes) -> str:
    """Post once; answer the status, or the kind of failure, without any part of the URL."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Interlock",
        HEADER: sign(address.key, body, int(time.time())),
    }
    url = address.url.reveal().decode()
    try:
        async with (
            asyncio.timeout(TIME_LIMIT_S),
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return str(response.status_code)
    except TimeoutError:
        return "timed out"
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as e:
        return type(e).__name__


def is_hopeless(delivery: Delivery, answer: str, now: float) -> bool:
    """True when nobody needs to try again: refused several times, or for days in vain."""
    refused = answer.startswith("4") and int(answer) not in PASSING
    if refused and delivery.attempts + 1 >= MOST_REFUSALS:
        return True
    return now - delivery.created_at > GIVE_UP_AFTER_S


def delay(attempts: int, chance: float) -> float:
    """Seconds until the next attempt: doubled each time, half of it left to chance (0 to 1)."""
    longest = min(FIRST_DELAY_S * 2.0 ** min(attempts, 30), LONGEST_DELAY_S)
    return longest * (0.5 + chance / 2)
