"""One process at a time exchanges a secret that its endpoint rotates, and reads it in its turn."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker import Secret, SecretUnavailableError
from interlock.errors import StoreError
from interlock.installation import Installation
from interlock.ledger.ledger import new_id
from interlock.store.turns import give_back, take

# Longer than an endpoint may take (broker.endpoint), so that a turn ends by itself only when its
# process has died.
LEASE_S = 15.0
PATIENCE_S = 20.0
POLL_S = 0.05


@asynccontextmanager
async def turn_of(records: Installation, name: str) -> AsyncIterator[Secret | None]:
    """Wait for the turn to exchange a secret, and answer its value as it is stored by then.

    None for one that is kept elsewhere. Raises SecretUnavailableError.
    """
    holder, turn = new_id("xch"), f"exchange:{name}"
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not await _take(records, turn, holder):
            if time.monotonic() > deadline:
                raise SecretUnavailableError(name, "another process does not end its exchange")
            await asyncio.sleep(POLL_S)
    except (sqlite3.Error, StoreError) as e:
        raise SecretUnavailableError(name, f"it cannot be exchanged: {e}") from e
    try:
        kept = records.safe.look(name)
        yield kept if isinstance(kept, Secret) else None
    finally:
        records.database.submit(lambda connection: give_back(connection, turn, holder))


async def _take(records: Installation, turn: str, holder: str) -> bool:
    now = time.time()
    return await asyncio.wrap_future(
        records.database.submit(
            lambda connection: take(connection, turn, holder, now, now + LEASE_S)
        )
    )
