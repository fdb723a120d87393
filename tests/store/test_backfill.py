"""What is committed leaves the log for the file, and nobody waits for that."""

import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from interlock.store import Database
from interlock.store.backfill import EVERY, Backfill
from tests.door.patience import wait_for


def test_the_log_is_brought_into_the_file_beside_the_writer(tmp_path: Path) -> None:
    """So that little of it is left for whoever commits; and it is over when the store is closed."""
    file = tmp_path / "interlock.db"
    with Database(file) as database:
        database.write(lambda c: c.execute("create table filled (body)"))
        for _ in range(2 * EVERY):
            database.write(lambda c: c.execute("insert into filled values (zeroblob(9000))"))
        # Not a page of it by the writer itself: the log has some 800 of the pages it may have.
        wait_for(lambda: file.stat().st_size > EVERY * 9_000)
        assert database.one("select count(*) from filled")[0] == 2 * EVERY
    assert not any(each.name.startswith("interlock-backfill") for each in threading.enumerate())


def test_a_log_that_cannot_be_brought_into_the_file_hinders_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever commits does it then, as SQLite would."""

    def broken() -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    backfill = Backfill(broken)
    with caplog.at_level(logging.DEBUG):
        for _ in range(2 * EVERY):
            backfill.committed()
        wait_for(lambda: "left to whoever commits: disk I/O error" in caplog.text)
    backfill.close()
    for _ in range(EVERY):
        backfill.committed()
