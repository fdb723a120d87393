"""Questions are answered from indexes, page by page, each decision once."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from interlock.ledger import Event, Ledger, Question
from interlock.ledger.ledger import new_id
from interlock.ledger.question import PAGE, ask
from interlock.store import Database

ROWS = 2 * PAGE + 300
LABELS = ("allow", "allow", "deny", "would_deny", "needs_approval")


def event(number: int) -> Event:
    """A decision whose every property follows from its number; three share each moment."""
    label = LABELS[number % len(LABELS)]
    body = {
        "label": label,
        "effect": {"would_deny": "deny"}.get(label, label),
        "authority": f"h{number % 3}:443",
        "goal": "g" if number % 7 == 0 else "",
        "facts": {"owner": "ada" if number % 2 else "bob"},
    }
    return Event(f"evt_{number}", 1000.0 + number // 3, "decision", f"a{number % 4}", "", body)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(tmp_path_factory.mktemp("ledger") / "interlock.db") as database:
        ledger = Ledger(database)
        asyncio.run(ledger.decide([event(number) for number in range(ROWS)]))
        asyncio.run(ledger.decide([Event("evt_o", 1001.0, "outcome", "a1", "", {"label": "deny"})]))
        yield database


def expected(question: Question) -> list[str]:
    """The ids that a walk through everything finds."""

    def fits(it: Event) -> bool:
        body: dict[str, Any] = it.body
        return (
            question.agent in ("", it.agent)
            and question.decision in ("", body["label"])
            and question.host in ("", body["authority"])
            and question.goal in ("", body["goal"])
            and question.user in ("", body["facts"]["owner"])
            and question.since <= it.ts <= question.until
        )

    return [it.id for it in map(event, range(ROWS)) if fits(it)]


QUESTIONS = [
    pytest.param(Question(), id="everything"),
    pytest.param(Question(agent="a1"), id="an agent"),
    pytest.param(Question(decision="allow"), id="a label"),
    pytest.param(Question(decision="deny"), id="the denials that bind"),
    pytest.param(Question(decision="would_deny"), id="those that do not"),
    pytest.param(Question(host="h2:443"), id="a host"),
    pytest.param(Question(goal="g"), id="a goal"),
    pytest.param(Question(user="ada"), id="a user"),
    pytest.param(Question(since=1100.0, until=1200.0), id="a stretch of time"),
    pytest.param(
        Question("a1", "deny", "h2:443", "g", "ada", 1000.0, 1700.0), id="all of them at once"
    ),
    pytest.param(Question(agent="' or 1=1 --"), id="a name that is SQL"),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_finds_each_decision_once_in_order(database: Database, question: Question) -> None:
    """Like a walk through all rows, over several pages and equal times."""
    assert [e["id"] for e in Ledger(database).query(question)] == expected(question)


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_walks_through_the_table(database: Database, question: Question) -> None:
    """Each page is found by an index, and needs no sorting, however many rows there are."""
    plans: list[str] = []

    def rows(sql: str, *values: Any) -> list[sqlite3.Row]:
        plans.extend(row["detail"] for row in database.rows(f"explain query plan {sql}", *values))
        return database.rows(sql, *values)

    list(ask(rows, question))
    assert plans
    assert all(plan.startswith("SEARCH events USING INDEX") for plan in plans)


@pytest.mark.parametrize("late_s", [0.0, 4.0, 600.0], ids=["at once", "soon", "a clock set"])
def test_an_event_is_found_by_its_id(database: Database, late_s: float) -> None:
    """Whatever lies between the moment that the id tells and that of the event."""
    found = Event(new_id("evt"), time.time() + late_s, "admin")
    ledger = Ledger(database)
    ledger.note(found)
    ledger.flush()
    assert [e["id"] for e in ledger.of(found.id)] == [found.id]


def test_an_id_leads_to_its_event_through_the_index_of_time(database: Database) -> None:
    """So it is found as fast among ten million; no index of ids is paid for by each event.

    One that nobody made, though it looks like one of ours, is not looked for everywhere either.
    """
    found = Event(new_id("evt"), time.time(), "admin")
    ledger = Ledger(database)
    ledger.note(found)
    ledger.flush()
    asked: list[str] = []
    database.read(lambda connection: connection.set_trace_callback(asked.append))
    Ledger(database).of(found.id)
    assert Ledger(database).of(new_id("evt")) == Ledger(database).of("evt_1") == []
    database.read(lambda connection: connection.set_trace_callback(None))
    plans = [row["detail"] for sql in asked for row in database.rows(f"explain query plan {sql}")]
    assert "SEARCH events USING INDEX idx_events_ts (ts>? AND ts<?)" in plans
    assert not any(plan.startswith("SCAN") for plan in plans)


def test_figures_add_up(database: Database) -> None:
    """By label, agent and host; outcomes are counted apart."""
    found = Ledger(database).statistics(0.0, 1e12)
    assert {c.name: c.calls for c in found.labels}["allow"] == len(
        expected(Question(decision="allow"))
    )
    assert sum(c.calls for c in found.agents) == sum(c.calls for c in found.hosts) == ROWS
    assert found.used["outcomes"] == 1
