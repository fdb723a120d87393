"""Checkpoints that are posted to a receiver elsewhere show what the home itself cannot."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlock.alerts.sender import Sender
from interlock.cli import app
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.settings import Settings
from tests.alerts.receiver import Receiver

CHECKPOINTS = 3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home")


async def lived(settings: Settings, receiver: Receiver) -> None:
    """Let something happen and be attested, and post each checkpoint to a receiver."""
    with Installation(settings) as home:
        home.webhooks.add(receiver.url, ("checkpoint",))
        for number in range(CHECKPOINTS):
            decision = Event(f"evt_{number}", time.time(), "decision", "a", f"dec_{number}", {})
            await home.ledger.decide([decision])
            assert home.notary.attest(time.time())
        assert await Sender(home).drain() == (CHECKPOINTS, 0)


def copied(receiver: Receiver, settings: Settings, folder: Path) -> Path:
    """What docs/durability.md tells to do with what arrives."""
    folder.mkdir()
    lines = [f"{news['data']['line']}\n" for news in receiver.news]
    (folder / "received.checkpoints").write_text("".join(lines))
    for key in settings.checkpoints.glob("*.pub"):
        (folder / key.name).write_bytes(key.read_bytes())
    return folder


def verified(settings: Settings, *options: str) -> tuple[int, str]:
    """The exit code and the words of `interlock audit verify`."""
    words = ["--home", str(settings.home), "audit", "verify", *options]
    answer = CliRunner().invoke(app, words)
    return answer.exit_code, answer.output


def cut_off(settings: Settings) -> None:
    """Remove the end of the ledger and of the checkpoints in the home, guards put back."""
    with closing(sqlite3.connect(settings.database)) as connection, connection:
        sql = "select sql from sqlite_master where name = 'events_no_delete'"
        (guard,) = connection.execute(sql).fetchone()
        connection.execute("drop trigger events_no_delete")
        last = "select max(seq) from events where kind = 'decision'"
        connection.execute(f"delete from events where seq >= ({last})")  # noqa: S608
        connection.execute(guard)
    (file,) = settings.checkpoints.glob("*.checkpoints")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


async def test_a_copy_that_was_posted_shows_what_was_cut_off(
    settings: Settings, tmp_path: Path
) -> None:
    """Whoever cuts off the ledger and its own checkpoints leaves nothing odd, but for the copy."""
    with Receiver() as receiver:
        await lived(settings, receiver)
    elsewhere = ("--checkpoints", str(copied(receiver, settings, tmp_path / "elsewhere")))
    assert verified(settings, *elsewhere)[0] == 0
    cut_off(settings)
    assert verified(settings)[0] == 0
    code, said = verified(settings, *elsewhere)
    assert code == 1
    assert "its tail was cut off" in said
