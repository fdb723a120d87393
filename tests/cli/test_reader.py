"""Looking at a database that belongs to others."""

import pytest

from interlock.cli import rows
from interlock.cli.reader import Reader
from interlock.errors import StoreError
from interlock.ledger import Ledger
from tests.cli.terminal import Terminal


def test_writes_nothing(lived_in: Terminal) -> None:
    """Neither through the writer nor past it."""
    with Reader(lived_in.home / "interlock.db") as reader:
        with pytest.raises(StoreError, match="reading only"):
            reader.write(lambda connection: connection.execute("delete from agents"))
        with pytest.raises(StoreError, match="readonly"):
            reader.rows("delete from agents")


def test_refuses_another_schema(lived_in: Terminal) -> None:
    """A database of another version is not migrated by a look at it."""
    lived_in.tamper("pragma user_version = 99")
    assert "schema 99" in lived_in.fails(2, "agent", "list")
    lived_in.tamper("pragma user_version = 0")
    assert "run `interlock init`" in lived_in.fails(2, "agent", "list")


def test_shows_the_rows_of_a_large_ledger(
    lived_in: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal a long walk has a bar, and the same result."""
    monkeypatch.setattr(rows, "LARGE", 1)
    monkeypatch.setattr(rows, "STEP", 1)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Reader(lived_in.home / "interlock.db") as reader, rows.rows_shown(reader):
        result = Ledger(reader).verify()
    assert result.intact
    assert result.events == lived_in.events()
    assert "verifying" in capsys.readouterr().err
