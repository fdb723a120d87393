"""The views: flat tables for any tool that reads SQLite, while the ledger is written."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interlock.ledger import Event, Ledger
from interlock.store import Database
from interlock.store.views import VIEWS
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
