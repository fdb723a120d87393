"""The views: flat tables for any tool that reads SQLite, while the ledger is written."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interlock.ledger import Event, Ledger
from interlock.store import Database
from interlock.store.migrations import STEPS, guards_of
from interlock.store.views import VIEWS, create_views
from tests.export.events import EVENTS

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"
EXAMPLES = re.findall(r'interlock\.db "\s*(select.*?)"\n', PAGE.read_text(), re.DOTALL)


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody's tool that opens the file for reading, beside the writer."""
    with Database(tmp_path / "interlock.db") as database:
        ledger = Ledger(database)
        for each in EVENTS:
            names = ("id", "ts", "kind", "agent", "decision_id", "body")
            ledger.note(Event(*(each[name] for name in names)))
        ledger.flush()
        assert ledger.verify().intact
        uri = f"{(tmp_path / 'interlock.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


@pytest.mark.parametrize("name", list(VIEWS))
def test_a_view_shows_its_kinds_and_no_other(tool: sqlite3.Connection, name: str) -> None:
    """Each event of them in one row, with every column there."""
    kinds, fields = VIEWS[name]
    rows = tool.execute(f"select * from {name}").fetchall()  # noqa: S608
    assert len(rows) == sum(event["kind"] in kinds for event in EVENTS)
    assert {"ts", "time", "agent", "decision_id", *fields, "body"} <= set(rows[0].keys())


def test_a_decision_is_a_flat_row(tool: sqlite3.Connection) -> None:
    """Who, what, where and why, without a word of JSON."""
    row = tool.execute("select * from decisions where seq = 1").fetchone()
    expected = {
        "time": "2023-11-14T22:13:21.250Z",
        "agent": "research-agent",
        "user": "ada",
        "label": "would_deny",
        "action": "chat",
        "resource": 'Model::"gpt-4o"',
        "host": "api.openai.com:443",
        "path": "/v1/chat/completions",
        "reasons": "no-policy",
        "goal": "q3",
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("sql", EXAMPLES)
def test_the_examples_of_the_page_work(tool: sqlite3.Connection, sql: str) -> None:
    """What the documentation shows can be typed."""
    tool.execute(sql).fetchall()


def test_the_page_has_examples() -> None:
    """There is something to try."""
    assert len(EXAMPLES) >= 2


def test_a_tool_that_changed_is_told_with_its_server(tmp_path: Path) -> None:
    """What an alert of a server says beside that of a planted key."""
    body = {"alert": "tool_changed", "server": "files", "changed": ["read_file"], "shown": 3}
    with Database(tmp_path / "interlock.db") as database:
        Ledger(database).note(Event("evt_1", 1.0, "alert", "a", body=body))
        Ledger(database).flush()
        row = database.one("select * from alerts")
    assert (row["alert"], row["server"], row["shown"]) == ("tool_changed", "files", 3)
    assert row["changed"] == '["read_file"]'


def test_a_view_of_an_older_version_is_made_anew(tmp_path: Path) -> None:
    """A home that was made before its columns were added has them after the next start."""
    path = tmp_path / "interlock.db"
    with Database(path) as database:
        wanted = guards_of(database.read(lambda connection: connection))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop view alerts")
        connection.execute("create view alerts as select 1 as alert")
        before = max(number for number, step in enumerate(STEPS) if step is create_views)
        connection.execute(f"pragma user_version = {before}")
        connection.commit()
    with Database(path) as database:
        assert guards_of(database.read(lambda connection: connection)) == wanted
