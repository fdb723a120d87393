"""What nobody waited for and the disk did not take is written once it takes something again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interlock.errors import StoreError
from interlock.ledger import Event, Ledger
from interlock.ledger.unsaid import MOST, Unsaid
from interlock.store import Database

OUTCOME = Event("evt_1", 1.0, "outcome", "a", "dec_1", {"ended": "answered"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "interlock.db") as database:
        yield database


def damage(database: Database, sql: str) -> None:
    """Do something to the file from outside."""
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute(sql)


REFUSE = (
    "create trigger refuse before insert on events when new.kind = 'outcome' "
    "begin select raise(abort, 'no'); end"
)


def test_an_outcome_that_was_lost_is_written_later(database: Database) -> None:
    """With all that belongs to it, once; the gap before it counts what was not taken."""
    ledger, counted = Ledger(database), list[int]()
    damage(database, REFUSE)
    ledger.note(OUTCOME, lambda _: counted.append(1))
    ledger.flush()
    assert ledger.of("dec_1") == []
    with pytest.raises(StoreError):
        ledger.say_again()
    damage(database, "drop trigger refuse")
    counted.clear()
    assert (ledger.say_again(), ledger.say_again()) == (1, 0)
    assert [e["id"] for e in ledger.of("dec_1")] == ["evt_1"]
    assert counted == [1]
    assert ledger.verify().intact


def test_what_was_written_after_all_is_not_written_twice(database: Database) -> None:
    """An answer of the disk may come too late, or be an error about what it took."""
    ledger = Ledger(database)
    ledger.note(OUTCOME)
    ledger.flush()
    ledger._unsaid.keep([(OUTCOME, lambda _: pytest.fail("it was counted twice"))])
    assert ledger.say_again() == 1
    assert len(ledger.of("dec_1")) == 1


def test_what_is_kept_is_bounded() -> None:
    """A disk that stays full does not fill the memory too; the oldest go first."""
    unsaid = Unsaid()
    for number in range(MOST + 5):
        unsaid.keep([(Event(f"evt_{number}", 1.0, "outcome"), lambda _: None)])
    kept = [event.id for event, _ in unsaid.take()]
    assert (len(kept), kept[0]) == (MOST, "evt_5")
