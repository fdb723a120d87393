"""An addon that holds each commit of a decision until a file says what becomes of it."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from mitmproxy import ctx

from interlock.store.writer import Transaction

execute = Transaction.execute


def held(connection: Transaction, sql: str, *values: Any) -> sqlite3.Cursor:
    """All that SQLite does, but for the last step of what wrote a decision."""
    if sql.startswith("insert into events") and "decision" in str(values):
        connection.kept["holds"] = True
    if sql == "commit" and connection.kept.get("holds"):
        home = Path(ctx.options.interlock_home)
        (home / "written").touch()
        while not (word := home / "word").exists():
            time.sleep(0.01)
        if word.read_text() == "fail":
            raise sqlite3.OperationalError("disk I/O error")
    return execute(connection, sql, *values)


Transaction.execute = held  # type: ignore[method-assign]
