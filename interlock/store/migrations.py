"""The schema, as numbered steps that each run once and may be run again without harm."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache

from sqlite_utils import Database as Tables

from interlock.store.schema import actors, credentials, federation, reasons, records
from interlock.store.views import create_views

STEPS: tuple[Callable[[Tables], None], ...] = (
    actors.registry,
    credentials.secrets,
    records.ledger,
    records.change_number,
    reasons.why,
    reasons.approvals,
    records.questions,
    records.alerts,
    actors.leases,
    credentials.conditions,
    actors.servers,
    actors.access,
    actors.tools,
    create_views,
    credentials.minting,
    actors.discovery,
    federation.federation,
    federation.crowds,
    actors.sources,
    actors.lookups,
    credentials.destinations,
    records.secrets_number,
    create_views,  # those of alerts have what is told of servers
    actors.posts,
    reasons.told,
)


def require_ours(connection: sqlite3.Connection) -> None:
    """Raise ValueError for a database of something else: ours would grow among its tables.

    One of ours may have more tables; one that was copied by its statements has no version.
    """
    version = _version(connection)
    if version == len(STEPS):
        return
    tables = _tables(connection)
    theirs = tables - tables_wanted()
    if theirs and not (version and "events" in tables):
        raise ValueError(f"it is of something else, with a table {min(theirs)[:40]!r}")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date inside one transaction; several processes may race for it.

    Raises sqlite3.Error. A database of a newer version raises ValueError and is left alone.
    """
    if _version(connection) == len(STEPS):
        return
    connection.execute("begin immediate")
    try:
        done = _version(connection)
        if done > len(STEPS):
            raise ValueError(f"it was written by a newer version (schema {done}, not {len(STEPS)})")
        tables = Tables(connection)
        for step in STEPS[done:]:
            step(tables)
        connection.execute(f"pragma user_version = {len(STEPS)}")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma user_version").fetchone()[0]
    return version


def _tables(connection: sqlite3.Connection) -> set[str]:
    sql = "select name from sqlite_master where type = 'table' and substr(name, 1, 7) <> 'sqlite_'"
    return {name for (name,) in connection.execute(sql)}


def guards_of(connection: sqlite3.Connection) -> dict[str, str]:
    """The triggers and views of a database by kind and name, as they are defined there."""
    return {
        f"{kind} {name}": sql
        for kind, name, sql in connection.execute(
            "select type, name, sql from sqlite_master where type in ('trigger', 'view')"
        )
    }


@cache
def guards_wanted() -> dict[str, str]:
    """The triggers and views that a database of this version has."""
    with closing(_new()) as connection:
        return guards_of(connection)


@cache
def tables_wanted() -> set[str]:
    """The tables that a database of this version has."""
    with closing(_new()) as connection:
        return _tables(connection)


def _new() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection
