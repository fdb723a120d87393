"""The hash chain finds what was done to the rows, and names the place."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import LedgerUnavailableError
from interlock.ledger import Event, Ledger
from interlock.ledger.chain import canonical
from interlock.ledger.verification import Verification
from interlock.store import Database

ROWS = 20


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "interlock.db") as database:
        yield database


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    ledger = Ledger(database, actor="ada")
    for number in range(ROWS):
        event = Event(
            f"evt_{number}", 1000.0 + number, "decision", "a", f"dec_{number}", {"n": number}
        )
        await ledger.decide([event])
    return ledger


def attack(database: Database, sql: str) -> None:
    """What someone with the file can do: drop the triggers, then anything."""
    with sqlite3.connect(database.path) as connection:
        connection.execute("drop trigger events_no_update")
        connection.execute("drop trigger events_no_delete")
        connection.execute(sql)
    connection.close()


async def test_an_untouched_ledger_is_intact(ledger: Ledger) -> None:
    """Every row is read."""
    verification = ledger.verify()
    assert verification.intact
    assert verification.events == ROWS


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        pytest.param(
            "update events set body = '{\"n\":99}' where seq = 7", "seq 7: the content", id="edit"
        ),
        pytest.param("update events set agent = 'b' where seq = 7", "seq 7: the content", id="who"),
        pytest.param("update events set ts = 1.0 where seq = 7", "seq 7: the content", id="when"),
        pytest.param("delete from events where seq = 7", "seq 8: the row after seq 6", id="delete"),
        pytest.param("delete from events where seq = 1", "seq 2: the row after seq 0", id="first"),
        pytest.param(
            "update events set seq = case seq when 7 then 100 else 7 end where seq in (7)",
            "seq 8: the row after seq 6",
            id="move",
        ),
        pytest.param(
            "insert into events select node, 21, 'x', ts, kind, agent, decision_id, body, prev, "
            "hash from events where seq = 20",
            "seq 21: does not continue",
            id="insert",
        ),
        pytest.param(
            "update events set node = 'other' where seq > 10", "does not continue", id="split"
        ),
    ],
)
async def test_tampering_is_found_and_placed(
    ledger: Ledger, database: Database, sql: str, said: str
) -> None:
    """The first wrong row is named with what is wrong about it."""
    attack(database, sql)
    verification = ledger.verify()
    assert not verification.intact
    assert said in verification.problem or verification.problem.startswith("node other seq 11")


async def test_the_triggers_refuse_honest_mistakes(ledger: Ledger, database: Database) -> None:
    """Without dropping them nobody changes or deletes a row."""
    for sql in ("update events set agent = 'b'", "delete from events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.submit(lambda c, sql=sql: c.execute(sql)).result(5)  # type: ignore[misc]


async def test_a_spent_token_takes_the_decision_with_it(ledger: Ledger) -> None:
    """The decision and the spending of its token are one transaction."""
    await ledger.decide([Event("e1", 1.0, "decision")], tokens=["t"], expires_at=1e12)
    with pytest.raises(LedgerUnavailableError, match="spent already"):
        await ledger.decide([Event("e2", 2.0, "decision")], tokens=["t"], expires_at=1e12)
    assert [event["id"] for event in ledger.tail(1)] == ["e1"]
    assert ledger.verify().intact


@pytest.mark.parametrize(
    "bent", [{"agent": 5}, {"id": True}, {"ts": 7}, {"decision_id": None}, {"kind": b"x"}]
)
async def test_what_would_be_kept_otherwise_than_hashed_is_refused(
    ledger: Ledger, bent: dict[str, Any]
) -> None:
    """SQLite turns a number into a text where a text belongs: the row would look tampered with."""
    event = replace(Event("evt_x", 7.0, "decision", "a", "dec_x"), **bent)
    with pytest.raises(LedgerUnavailableError, match="another type"):
        await ledger.decide([event])
    assert ledger.verify() == Verification(ROWS)


async def test_two_writers_share_one_chain(ledger: Ledger, database: Database) -> None:
    """The head is read under the write lock, so another process continues where we are."""
    with Database(database.path) as other:
        second = Ledger(other)
        for number in range(5):
            await second.decide([Event(f"o{number}", 1.0, "decision")])
            await ledger.decide([Event(f"p{number}", 1.0, "decision")])
    assert ledger.verify().intact
    assert ledger.verify().events == ROWS + 10


def test_canonical_json_has_one_form() -> None:
    """Sorted, without spaces, ASCII only, so that every reader hashes the same bytes."""
    assert canonical({"b": 1, "a": ["ä", True]}) == '{"a":["\\u00e4",true],"b":1}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_one_form_is_what_json_writes(value: Any) -> None:
    """Whatever the value; so that anybody can check a chain with a parser of their own."""
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"x", id="bytes"),
        pytest.param([{1, 2}], id="a set"),
        pytest.param({"a": {b"k": 1}}, id="a name of bytes"),
    ],
)
def test_what_is_no_json_has_no_form(value: Any) -> None:
    """It is refused before anything is hashed."""
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize("text", ['a "b" \\', "ä\n\x7f", "𝄞"], ids=ascii)
@pytest.mark.parametrize("ts", [0.1, 1e22, 1e-7, 1_700_000_000.123456])
async def test_whatever_stands_in_a_row_is_hashed_in_one_form(
    ledger: Ledger, text: str, ts: float
) -> None:
    """What is written by one way verifies by another."""
    body = {"text": f"{text}\ud800", "ts": ts}
    await ledger.decide([Event("evt_x", ts, text, text, "dec_x", body)])
    assert ledger.verify() == Verification(ROWS + 1)
