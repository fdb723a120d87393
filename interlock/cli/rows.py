"""A progress bar over the rows that a long walk through the ledger reads."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from interlock.cli.reader import Reader

LARGE = 50_000
STEP = 1_000


@contextmanager
def rows_shown(database: Reader) -> Iterator[None]:
    """Show the rows going by on stderr, when it is a terminal and there are many."""
    console = Console(stderr=True)
    total = database.one("select count(*) from events")[0]
    if total < LARGE or not console.is_terminal:
        yield
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("verifying", total=total)
        count = 0

        def counted(cursor: sqlite3.Cursor, values: tuple[object, ...]) -> sqlite3.Row:
            nonlocal count
            count += 1
            if count % STEP == 0:
                progress.update(task, completed=count)
            return sqlite3.Row(cursor, values)

        with database.rows_made_by(counted):
            yield
