"""Questions get the same answers before a prune and, with the archive, after it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from broker import Keyring
from interlock.ledger import Archive, AttestationError, Event, Ledger, Question
from interlock.ledger import retention as module
from interlock.ledger.archive import ROWS
from interlock.ledger.ledger import new_id
from interlock.ledger.retention import prune
from interlock.ledger.statistics import Statistics
from interlock.store import Database

OURS = Keyring([SigningKey(bytes(range(32)))])
CALLS, FIRST = 60, 1_800_000_000.0
EVER = (0.0, 1e12)


class Home:
    """Two nodes that take turns, a call a second each, and the archive into which both prune."""

    def __init__(self, folder: Path) -> None:
        self.archive = Archive(folder / "archive")
        self.database = Database(folder / "one.db")
        self.ids: list[str] = []
        self.ledger = Ledger(self.database)
        self.database.node = "0123abcd"  # another node of the same store
        for second in range(CALLS):
            ledger = (self.ledger, Ledger(self.database))[second % 2]
            asyncio.run(ledger.decide(list(self._call(second))))

    def _call(self, second: int) -> Iterator[Event]:
        id_, ts, agent = new_id("dec"), FIRST + second, f"agent-{second % 3}"
        self.ids.append(id_)
        label = "deny" if second % 5 == 0 else "allow"
        body = {"label": label, "effect": label, "authority": "api.example:443"}
        yield Event(new_id("evt"), ts, "decision", agent, id_, body)
        yield Event(new_id("evt"), ts + 0.5, "outcome", agent, id_, {"tokens_in": second})

    def prune(self, seconds: float) -> None:
        """Archive what is older than so many seconds after the first call."""
        assert list(prune(self.ledger, self.archive, OURS, FIRST + seconds))

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """With the archive."""
        return list(self.ledger.query(question, self.ledger.past(self.archive)))

    def count(self, since: float, until: float) -> Statistics:
        """With the archive."""
        return self.ledger.statistics(since, until, self.ledger.past(self.archive))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(module, "BATCH", 7)
    home = Home(tmp_path)
    yield home
    home.database.close()


QUESTIONS = (
    Question(),
    Question(agent="agent-1"),
    Question(decision="deny"),
    Question(agent="agent-2", host="api.example:443", since=FIRST + 10, until=FIRST + 40),
    Question(since=FIRST + 50),
)


@pytest.mark.parametrize("seconds", [0.7, 20.3, 41.0, 1e9])
def test_answers_are_those_of_before(home: Home, seconds: float) -> None:
    """Wherever the ledger is cut: each decision once, in the order of time, of both nodes."""
    spans = (EVER, (FIRST + 15, FIRST + 45.5))
    before = [list(home.ledger.query(question)) for question in QUESTIONS]
    counted = [home.ledger.statistics(*span) for span in spans]
    stories = [home.ledger.of(id_) for id_ in home.ids]
    assert all(before)
    assert all(len(story) == 2 for story in stories)
    home.prune(seconds)
    assert [home.ask(question) for question in QUESTIONS] == before
    assert [home.count(*span) for span in spans] == counted
    past = home.ledger.past(home.archive)
    assert [home.ledger.of(id_, past) for id_ in home.ids] == stories
    assert home.ledger.of(stories[0][1]["id"], past) == stories[0][1:]


def test_without_the_archive_it_is_gone(home: Home) -> None:
    """So that the test above could fail."""
    home.prune(30.0)
    assert len(list(home.ledger.query())) == CALLS - 30
    assert home.ledger.of(home.ids[0]) == []


def test_what_a_broken_prune_left_is_not_told_twice(home: Home) -> None:
    """Rows that are in a file and still in the database."""
    rows = [tuple(row) for row in home.ledger.rows("select * from events where node = '0123abcd'")]
    home.archive.store(rows[:9], OURS)
    past = home.ledger.past(home.archive)
    assert not past.reaches(0.0)
    assert len(home.ask(Question())) == CALLS
    assert home.count(*EVER) == home.ledger.statistics(*EVER)


def test_old_files_are_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended before the time that is asked for, or before the id was made, is not opened."""
    home.prune(40.0)
    opened = []
    rows = Archive.rows

    def noted(self: Archive, seal: Any, having: str = "") -> Any:
        opened.append(seal)
        return rows(self, seal, having)

    monkeypatch.setattr(Archive, "rows", noted)
    home.ask(Question(since=FIRST + 35))
    assert opened
    assert all(seal.until >= FIRST + 35 for seal in opened)
    opened.clear()
    later = f"dec_{int((FIRST + 9_000) * 1000):012x}{'0' * 20}"
    assert home.ledger.of(later, home.ledger.past(home.archive)) == []
    assert not opened
    assert home.ledger.past(home.archive).reaches(FIRST + 35)
    assert not home.ledger.past(home.archive).reaches(FIRST + 45)


def test_a_changed_file_is_refused(home: Home) -> None:
    """An answer from what nobody has sealed would be none."""
    home.prune(30.0)
    seal = home.archive.seals("0123abcd")[1]
    (home.archive.folder / seal.file).write_bytes(b"")
    with pytest.raises(AttestationError, match=f"{seal.node}.*{ROWS}: was changed"):
        home.ask(Question())
