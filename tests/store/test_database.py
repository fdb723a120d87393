"""The store: durable writes, all or nothing, by many processes at once."""

import contextlib
import multiprocessing
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.errors import StoreError
from interlock.store import Database
from interlock.store.database import MOST_LOG
from interlock.store.migrations import STEPS
from interlock.store.snapshot import Snapshot
from interlock.store.spent import FORGET_EVERY, forget, spend


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "home" / "interlock.db") as database:
        yield database


def insert(name: str) -> object:
    """Work that adds one secret row."""
    return lambda connection: connection.execute("insert into secrets values (?, x'00', 0)", [name])


def test_the_file_is_for_its_owner_only(database: Database) -> None:
    """0600, and 0700 for the folder that was made for it."""
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


def test_opening_again_changes_nothing(database: Database) -> None:
    """Migrations are idempotent, and the node keeps its name."""
    with Database(database.path) as again:
        assert again.node == database.node
        assert again.one("pragma user_version")[0] == len(STEPS)


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A database of a later version is not touched by this one."""
    path = tmp_path / "interlock.db"
    with sqlite3.connect(path) as later:
        later.execute(f"pragma user_version = {len(STEPS) + 1}")
    later.close()
    with pytest.raises(StoreError, match="newer version"):
        Database(path)


@pytest.mark.parametrize("version", [0, 7])
def test_a_database_of_something_else_is_left_alone(tmp_path: Path, version: int) -> None:
    """Not a byte of it changes, whatever version it says it has."""
    path = tmp_path / "interlock.db"
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        theirs.execute("create table customers (name)")
        theirs.execute(f"pragma user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="something else, with a table 'customers'"):
        Database(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["interlock.db"]


def test_tables_beside_ours_hurt_nobody(database: Database) -> None:
    """Of an older schema with a table of its own, and of one copied by its statements, without."""
    database.write(lambda c: c.execute("pragma user_version = 0"))
    with Database(database.path) as copied:
        assert copied.node == database.node
    database.write(lambda c: c.execute("create table notes (text)"))
    database.write(lambda c: c.execute(f"pragma user_version = {len(STEPS) - 1}"))
    with Database(database.path) as older:
        assert older.one("pragma user_version")[0] == len(STEPS)


def test_work_that_raises_leaves_nothing_and_hurts_nobody(database: Database) -> None:
    """Its savepoint is rolled back; work in the same commit is kept."""

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("insert into secrets values ('broken', x'00', 0)")
        raise KeyError("on purpose")

    futures = [database.submit(work) for work in (insert("one"), broken, insert("two"))]  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        futures[1].result(5)
    futures[2].result(5)
    names = [row["name"] for row in database.rows("select name from secrets order by name")]
    assert names == ["one", "two"]


def test_another_process_may_come_and_go(database: Database) -> None:
    """A second process that opens and closes the file takes nothing from us.

    It would delete the write-ahead log under our feet if we had lost our file locks, as we
    once did by opening the file beside SQLite.
    """
    for number in range(3):
        database.write(insert(f"before-{number}"))  # type: ignore[arg-type]
        visitor = multiprocessing.get_context("spawn").Process(target=_visit, args=(database.path,))
        visitor.start()
        visitor.join()
        assert visitor.exitcode == 0
    assert (database.path.parent / "interlock.db-wal").exists()


def _visit(path: Path) -> None:
    with Database(path) as database:
        assert database.rows("select * from secrets")


def test_a_snapshot_sees_the_next_change_of_another_connection(database: Database) -> None:
    """The change number moves with every write to a watched table, and with no other."""
    loads = []

    def load(source: Database) -> int:
        loads.append(1)
        return len(source.rows("select * from secrets"))

    snapshot = Snapshot(database, load)
    assert snapshot.value == 0
    database.write(insert("one"))  # type: ignore[arg-type]
    assert snapshot.value == 1
    database.write(lambda c: c.execute("insert into meta values ('x', '1')"))
    assert snapshot.value == 1
    assert len(loads) == 2


def test_a_log_that_grew_under_a_long_read_is_cut_again(database: Database) -> None:
    """As long as somebody reads, what is written since cannot leave the log; then it does."""
    log = database.path.with_name(f"{database.path.name}-wal")

    def write(size: int) -> None:
        database.write(
            lambda c: c.execute("insert or replace into meta values ('x', ?)", ["x" * size])
        )

    reader = database._connect()
    reader.execute("begin")
    reader.execute("select * from meta").fetchone()
    for _ in range(3):
        write(MOST_LOG // 2)
    assert log.stat().st_size > MOST_LOG
    reader.close()
    for size in (1, 2, 3):
        write(size)
    assert log.stat().st_size <= MOST_LOG


class TestSpending:
    """A token id is spent once, whoever tries."""

    def test_a_second_use_is_refused(self, database: Database) -> None:
        """In the same process."""
        database.write(lambda c: spend(c, [("sct_1", 100.0)], 50.0))
        with pytest.raises(ValueError, match="spent already"):
            database.write(lambda c: spend(c, [("sct_1", 100.0)], 51.0))

    def test_ids_are_forgotten_only_when_no_token_can_verify(self, database: Database) -> None:
        """The table does not grow without bound, nor does it forget too early."""
        database.write(lambda c: spend(c, [("old", 100.0)], 50.0))
        database.write(lambda c: spend(c, [("new", 190.0)], 155.0))
        assert database.one("select count(*) from spent_tokens")[0] == 2
        database.write(lambda c: spend(c, [("newer", 290.0)], 159.0))
        database.write(lambda c: forget(c, 160.0))
        assert database.one("select count(*) from spent_tokens")[0] == 3
        database.write(lambda c: forget(c, 161.0))
        assert [r["id"] for r in database.rows("select id from spent_tokens order by 1")] == [
            "new",
            "newer",
        ]

    def test_the_table_holds_the_last_minutes_and_no_more(self, database: Database) -> None:
        """Five thousand tokens of 30 s in as many seconds leave those of 90 s."""

        def work(connection: sqlite3.Connection) -> None:
            for second in range(5_000):
                spend(connection, [(f"sct_{second}", second + 30.0)], float(second))

        database.write(work)
        assert 91 <= database.one("select count(*) from spent_tokens")[0] < 91 + FORGET_EVERY

    def test_forgetting_looks_at_nothing_that_stays(self, database: Database) -> None:
        """It goes by an index, so that its cost is that of the few rows that go."""
        plan = database.rows("explain query plan delete from spent_tokens where expires_at < 1.0")
        assert "USING INDEX" in plan[0]["detail"]
        assert "SCAN" not in plan[0]["detail"]

    def test_processes_that_race_spend_each_id_once(self, database: Database) -> None:
        """Four processes try the same fifty ids; fifty succeed."""
        context = multiprocessing.get_context("spawn")
        with context.Pool(4) as pool:
            won = pool.map(_spend_all, [database.path] * 4)
        assert sum(won) == 50


def _spend_all(path: Path) -> int:
    won = 0
    with Database(path) as database:
        for number in range(50):
            try:
                database.write(lambda c, n=number: spend(c, [(f"sct_{n}", 1e12)], 0.0))  # type: ignore[misc]
            except ValueError:
                continue
            won += 1
    return won
