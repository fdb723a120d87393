"""A time without a record is itself recorded, as soon as there is a record again."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import LedgerUnavailableError
from interlock.ledger import Event, Ledger
from interlock.store import Database


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Database(tmp_path / "interlock.db") as database:
        yield Ledger(database)


def decide(ledger: Ledger, number: int) -> None:
    """Record one decision."""
    asyncio.run(ledger.decide([Event(f"evt_{number}", 1.0, "decision")]))


def gaps(ledger: Ledger) -> list[dict[str, Any]]:
    """What the ledger says about the times in which it took nothing."""
    return [event["body"] for event in ledger.tail(100) if event["kind"] == "gap"]


def test_the_first_write_after_a_gap_tells_of_it(ledger: Ledger, tmp_path: Path) -> None:
    """Once, with its beginning and how many writes did not come through; without a restart."""
    decide(ledger, 1)
    with closing(sqlite3.connect(tmp_path / "interlock.db")) as other:
        other.execute("alter table events rename to away")
        for number in (2, 3):
            with pytest.raises(LedgerUnavailableError):
                decide(ledger, number)
        ledger.note(Event("evt_4", 1.0, "outcome"))
        ledger.flush()
        other.execute("alter table away rename to events")
    decide(ledger, 5)
    decide(ledger, 6)
    (gap,) = gaps(ledger)
    assert gap["writes"] == 3
    assert gap["since"] < gap["until"]
    assert ledger.verify().events == 4


def test_a_refusal_by_the_work_itself_is_no_gap(ledger: Ledger) -> None:
    """A goal that is used up or a token that was spent is an answer of the ledger."""

    def refuse(_: sqlite3.Connection) -> None:
        raise ValueError("spent")

    with pytest.raises(LedgerUnavailableError):
        asyncio.run(ledger.decide([Event("evt_1", 1.0, "decision")], also=refuse))
    decide(ledger, 2)
    assert gaps(ledger) == []
