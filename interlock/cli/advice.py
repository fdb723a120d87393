"""What to do about a database that does not open, by why it does not."""

import sqlite3

from interlock.cli.reader import NEWER, START
from interlock.errors import InterlockError

RESTORE = "restore it from a backup"
RIGHTS = "it and its folder must be there, with the right to read and write them for who runs this"
# SQLite's own number of what went wrong, without what it adds to it in the upper bits.
PRIMARY = 0xFF

CAUSES = {
    sqlite3.SQLITE_PERM: RIGHTS,
    sqlite3.SQLITE_READONLY: RIGHTS,
    sqlite3.SQLITE_CANTOPEN: RIGHTS,
    sqlite3.SQLITE_AUTH: RIGHTS,
    sqlite3.SQLITE_BUSY: "another program holds it: look for one that hangs",
    sqlite3.SQLITE_LOCKED: "another program holds it: look for one that hangs",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "look after its disk, then restore it from a backup if need be",
}


def advise(error: InterlockError) -> tuple[str, str]:
    """What was found, and what to do about it."""
    found = str(error)
    for said in (START, NEWER):
        if found.endswith(f": {said}"):
            return found.removesuffix(f": {said}"), said
    code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return found, CAUSES.get(code & PRIMARY, RESTORE)
