"""A home is opened with the key that it was made with; any other says so and damages nothing."""

import sqlite3
from pathlib import Path

import pytest

from broker import Secret
from interlock.errors import SettingsError
from interlock.installation import Installation
from interlock.model import Authority, Binding
from interlock.settings import Settings

BOUND = Binding("key", Authority("api.example.com", 443), "bearer")
OTHER = "ab" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one secret."""
    with open_(tmp_path / "home") as installation:
        installation.set_secret("key", Secret("value-1"), [BOUND])
    return tmp_path / "home"


def open_(home: Path) -> Installation:
    """Open a home as every command and front door does."""
    return Installation(Settings.load(home=home))


def rows(home: Path) -> list[object]:
    """Everything that is sealed, and how long the ledger is."""
    connection = sqlite3.connect(home / "interlock.db")
    try:
        return connection.execute(
            "select name, sealed, (select count(*) from events) from secrets"
        ).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("told", [True, False], ids=["this version", "before keys were told apart"])
def test_another_key_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    """The line names the variable and the database; the right key opens all of it afterwards."""
    if not told:
        connection = sqlite3.connect(home / "interlock.db")
        with connection:
            connection.execute("delete from meta where key = 'master_key'")
        connection.close()
    before = rows(home)
    monkeypatch.setenv("INTERLOCK_MASTER_KEY", OTHER)
    with pytest.raises(SettingsError, match=r"INTERLOCK_MASTER_KEY: .*interlock\.db .*nothing"):
        open_(home)
    assert rows(home) == before
    monkeypatch.delenv("INTERLOCK_MASTER_KEY")
    with open_(home) as installation:
        assert installation.secret("key") == Secret("value-1")


def test_a_key_that_is_gone_is_not_made_anew(home: Path) -> None:
    """A new one would open nothing, and stand where the old one has to be put back."""
    kept = (home / "keys" / "master.key").rename(home / "away")
    with pytest.raises(SettingsError, match=r"master\.key is gone"):
        open_(home)
    assert not (home / "keys" / "master.key").exists()
    kept.rename(home / "keys" / "master.key")
    with open_(home) as installation:
        assert installation.secret("key") == Secret("value-1")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(lambda key: key.chmod(0o644), "chmod 600", id="others can read it"),
        pytest.param(lambda key: key.parent.chmod(0o777), "chmod 700", id="others can replace it"),
        pytest.param(
            lambda key: key.rename(key.parent / "x") and key.symlink_to(key.parent / "x"),
            "symbolic link",
            id="a link",
        ),
        pytest.param(lambda key: key.write_bytes(b"short"), "wrong size", id="half a key"),
    ],
)
def test_an_unsafe_key_file_is_refused(home: Path, harm: object, said: str) -> None:
    """The line names the file and what to do about it."""
    assert callable(harm)
    harm(home / "keys" / "master.key")
    before = rows(home)
    with pytest.raises(SettingsError, match=said):
        open_(home)
    assert rows(home) == before


def test_one_damaged_secret_does_not_close_a_home(home: Path) -> None:
    """It is that secret alone which cannot be had."""
    with open_(home) as installation:
        installation.set_secret("other", Secret("value-2"), [])
        installation.database.write(
            lambda c: c.execute("update secrets set sealed = x'00' where name = 'key'")
        )
        installation.database.write(lambda c: c.execute("delete from meta where key='master_key'"))
    with open_(home) as installation:
        assert installation.secret("other") == Secret("value-2")
