"""A process that decides as fast as it can and says aloud which calls it then lets leave.

`python -m tests.faults.worker FILE CALLERS CALLS`: each caller makes that many calls, one after
the other. A line is `left ID` once the decision is on disk, `refused ID` when it could not be.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from interlock.errors import LedgerUnavailableError
from interlock.ledger import Event, Ledger
from interlock.ledger.ledger import new_id
from interlock.store import Database


async def call(ledger: Ledger) -> None:
    """Decide once, let the call leave, and record its outcome."""
    id_, now = new_id("dec"), time.time()
    decision = Event(new_id("evt"), now, "decision", "a", id_, {"effect": "allow"})
    try:
        await ledger.decide([decision], tokens=[new_id("sct")], expires_at=now + 30)
    except LedgerUnavailableError:
        say(f"refused {id_}")
        await asyncio.sleep(0.01)
        return
    say(f"left {id_}")
    ledger.note(Event(new_id("evt"), time.time(), "outcome", "a", id_, {"ended": "answered"}))


def say(line: str) -> None:
    """Write a line at once, so that a kill leaves nothing unsaid."""
    os.write(1, f"{line}\n".encode())


async def main(file: Path, callers: int, calls: int) -> None:
    """Run all callers at the same time."""

    async def caller() -> None:
        for _ in range(calls):
            await call(ledger)

    with Database(file) as database:
        ledger = Ledger(database)
        await asyncio.gather(*(caller() for _ in range(callers)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
