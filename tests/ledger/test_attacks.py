"""What somebody with the file can do to the ledger, each at sixty random places, each found."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import Keyring
from interlock.errors import LedgerUnavailableError
from interlock.ledger import Event, Ledger, Notary, Trail, Verification
from interlock.ledger.chain import GENESIS, row_hash
from interlock.ledger.verification import verify
from interlock.store import Database

ROWS = 120
COLUMNS = "node, seq, id, ts, kind, agent, decision_id, body"
BETWEEN = 17  # events from one checkpoint to the next
TIMES = 60
OURS = Keyring([SigningKey(bytes(range(32)))])
THEIRS = Keyring([SigningKey(bytes(range(1, 33)))])


def event(number: int) -> Event:
    """The event of a number."""
    return Event(f"evt_{number}", 1e9 + number, "decision", "a", f"dec_{number}", {"n": number})


async def write(folder: Path, rows: int, between: int = BETWEEN) -> None:
    """Fill a new ledger, attesting it on the way and at its end."""
    with Database(folder / "interlock.db") as database:
        ledger = Ledger(database)
        notary = Notary(ledger, Trail(folder / "checkpoints"), lambda: OURS)
        for start in range(0, rows, between):
            await ledger.decide([event(n) for n in range(start, min(start + between, rows))])
            assert notary.attest(1e9 + start)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose ledger nobody has touched."""
    folder = tmp_path_factory.mktemp("pristine")
    asyncio.run(write(folder, ROWS))
    return folder


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are kept, and which is closed at the end."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        with connection:
            yield connection


def verified(file: Path, checkpoints: Path) -> Verification:
    """What an auditor finds who holds this file against those checkpoints."""
    with opened(file) as connection:
        return verify(connection, Trail(checkpoints).read())


def unlock(connection: sqlite3.Connection) -> list[str]:
    """Take the triggers away, and return how to put them back: so they give nobody away."""
    triggers = connection.execute(
        "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'events'"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"drop trigger {name}")
    return [sql for _, sql in triggers]


type Attack = Callable[[sqlite3.Connection, random.Random], None]


def edit(connection: sqlite3.Connection, dice: random.Random) -> None:
    column = dice.choice(["body", "agent", "kind", "ts", "id", "decision_id", "prev", "hash"])
    value = {"ts": 1.0, "prev": bytes(32), "hash": bytes(32)}.get(column, '{"n":-1}')
    place = dice.randint(1, ROWS)
    connection.execute(
        f"update events set {column} = ? where seq = ?",  # noqa: S608
        [value, place + (place == 1)],
    )


def delete(connection: sqlite3.Connection, dice: random.Random) -> None:
    connection.execute("delete from events where seq = ?", [dice.randint(1, ROWS)])


def swap(connection: sqlite3.Connection, dice: random.Random) -> None:
    one, other = dice.sample(range(1, ROWS + 1), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute("update events set seq = ? where seq = ?", [new, old])


def swap_contents(connection: sqlite3.Connection, dice: random.Random) -> None:
    one, other = dice.sample(range(1, ROWS + 1), 2)
    bodies = dict(
        connection.execute("select seq, body from events where seq in (?, ?)", [one, other])
    )
    for seq, body in ((one, bodies[other]), (other, bodies[one])):
        connection.execute("update events set body = ? where seq = ?", [body, seq])


def insert(connection: sqlite3.Connection, dice: random.Random) -> None:
    """A made-up row with a right hash of its own; those behind it move on."""
    place = dice.randint(2, ROWS)
    connection.execute("update events set seq = -(seq + 1) where seq >= ?", [place])
    connection.execute("update events set seq = -seq where seq < 0")
    node, prev = connection.execute(
        "select node, hash from events where seq = ?", [place - 1]
    ).fetchone()
    row = (node, place, "evt_x", 1e9, "decision", "a", "dec_x", "{}")
    values = [*row, prev, row_hash(bytes(prev), row)]
    connection.execute("insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def truncate(connection: sqlite3.Connection, dice: random.Random) -> None:
    (last,) = connection.execute("select max(seq) from events").fetchone()
    connection.execute("delete from events where seq > ?", [last - dice.randint(1, ROWS // 2) - 1])


def forge(connection: sqlite3.Connection, dice: random.Random) -> None:
    """Change one row and make every hash after it anew: the chain alone is intact again."""
    place = dice.randint(1, ROWS)
    connection.execute("update events set body = '{\"n\":-1}' where seq = ?", [place])
    prev = GENESIS
    for row in connection.execute(f"select {COLUMNS} from events order by seq").fetchall():  # noqa: S608
        connection.execute(
            "update events set prev = ?, hash = ? where seq = ?",
            [prev, row_hash(prev, row), row[1]],
        )
        prev = row_hash(prev, row)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(edit, id="a value is edited"),
        pytest.param(delete, id="a row is deleted"),
        pytest.param(swap, id="two rows change places"),
        pytest.param(swap_contents, id="two rows change contents"),
        pytest.param(insert, id="a row is inserted"),
        pytest.param(truncate, id="the tail is cut off"),
        pytest.param(forge, id="the chain is made anew"),
    ],
)
def test_finds_what_was_done_to_the_rows(pristine: Path, tmp_path: Path, attack: Attack) -> None:
    """Sixty times at random places; node and number of the row are named each time."""
    file = tmp_path / "interlock.db"
    for seed in range(TIMES):
        shutil.copy(pristine / "interlock.db", file)
        with opened(file) as connection:
            guards = unlock(connection)
            attack(connection, random.Random(seed))
            for guard in guards:
                connection.execute(guard)
        found = verified(file, pristine / "checkpoints")
        assert not found.intact, f"seed {seed}"
        assert " seq " in found.problem


def test_an_untouched_ledger_passes(pristine: Path) -> None:
    """The control of this table: as it was written, nothing is wrong."""
    found = verified(pristine / "interlock.db", pristine / "checkpoints")
    assert found.intact, found.problem
    assert found.checkpoints == -(-ROWS // BETWEEN)
    assert found.events == ROWS + found.checkpoints


def test_finds_a_chain_made_anew_and_signed_with_another_key(
    pristine: Path, tmp_path: Path
) -> None:
    """In its own home it passes: that is what a copy of the checkpoints elsewhere is for."""
    for seed in range(TIMES):
        home = tmp_path / str(seed)
        home.mkdir()
        shutil.copy(pristine / "interlock.db", home)
        with opened(home / "interlock.db") as connection:
            guards = unlock(connection)
            forge(connection, random.Random(seed))
            for guard in guards:
                connection.execute(guard)
        with Database(home / "interlock.db") as database:
            heads = Ledger(database).heads()
        Trail(home / "checkpoints").write(heads, THEIRS, 1e9)
        assert verified(home / "interlock.db", home / "checkpoints").intact
        assert not verified(home / "interlock.db", pristine / "checkpoints").intact


def test_finds_checkpoints_of_another_key(pristine: Path, tmp_path: Path) -> None:
    """A line that no key of the copy signed is named by file and number."""
    for seed in range(TIMES):
        copy = tmp_path / str(seed)
        shutil.copytree(pristine / "checkpoints", copy)
        (file,) = copy.glob("*.checkpoints")
        lines = file.read_text().splitlines()
        place = random.Random(seed).randrange(len(lines))
        other = Trail(tmp_path / f"{seed}-other")
        lines[place] = other.write({}, THEIRS, 1e9)
        file.write_text("\n".join(lines) + "\n")
        found = verified(pristine / "interlock.db", copy)
        assert f"{file}:{place + 1}: it was signed by a key" in found.problem


def test_finds_a_checkpoint_that_was_taken_out(pristine: Path, tmp_path: Path) -> None:
    """Each line names the one before it; only the first and the last can go unnoticed."""
    for seed in range(TIMES):
        copy = tmp_path / str(seed)
        shutil.copytree(pristine / "checkpoints", copy)
        (file,) = copy.glob("*.checkpoints")
        lines = file.read_text().splitlines()
        del lines[random.Random(seed).randrange(1, len(lines) - 1)]
        file.write_text("\n".join(lines) + "\n")
        found = verified(pristine / "interlock.db", copy)
        assert "the checkpoint before it is missing" in found.problem


def test_finds_an_older_file_that_was_put_back(tmp_path: Path) -> None:
    """Its own chain is whole; it was right at some time before the last checkpoint."""
    asyncio.run(write(tmp_path / "base", 10, 10))
    for seed in range(TIMES):
        home = tmp_path / str(seed)
        dice = random.Random(seed)
        shutil.copytree(tmp_path / "base", home)
        shutil.copy(home / "interlock.db", home / "older.db")
        with Database(home / "interlock.db") as database:
            ledger = Ledger(database)
            asyncio.run(ledger.decide([event(100 + n) for n in range(dice.randint(1, 20))]))
            assert Notary(ledger, Trail(home / "checkpoints"), lambda: OURS).attest(1e9 + 50)
        assert verified(home / "interlock.db", home / "checkpoints").intact
        found = verified(home / "older.db", home / "checkpoints")
        assert "its tail was cut off, or an older file was put back" in found.problem


def test_finds_a_log_that_was_deleted(tmp_path: Path) -> None:
    """What was committed lies in the -wal file for a while; without it the tail is gone."""
    Database(tmp_path / "base" / "interlock.db").close()
    for seed in range(TIMES):
        home = tmp_path / str(seed)
        dice = random.Random(seed)
        shutil.copytree(tmp_path / "base", home)
        with Database(home / "interlock.db") as database:
            ledger = Ledger(database)
            asyncio.run(ledger.decide([event(n) for n in range(dice.randint(1, 20))]))
            database.write(lambda c: c.execute("select 1"))
            with opened(home / "interlock.db") as connection:
                connection.execute("pragma wal_checkpoint(truncate)")
            asyncio.run(ledger.decide([event(50 + n) for n in range(dice.randint(1, 20))]))
            assert Notary(ledger, Trail(home / "checkpoints"), lambda: OURS).attest(1e9)
            # By another process: closing a file here would drop the locks that SQLite holds.
            subprocess.run(["cp", home / "interlock.db", home / "without.db"], check=True)
        assert verified(home / "interlock.db", home / "checkpoints").intact
        assert "its tail was cut off" in verified(home / "without.db", home / "checkpoints").problem


@pytest.mark.parametrize(
    "guard",
    [
        "trigger events_no_update",
        "trigger events_no_delete",
        "view decisions",
        "view outcomes",
        "view secret_accesses",
        "view admin_actions",
        "view alerts",
    ],
)
def test_finds_a_guard_that_was_dropped_or_bent(pristine: Path, tmp_path: Path, guard: str) -> None:
    """A trigger or view that is missing, or says something else under its old name."""
    file = tmp_path / "interlock.db"
    shutil.copy(pristine / "interlock.db", file)
    with opened(file) as connection:
        connection.execute(f"drop {guard}")
    assert f"{guard} of the database is missing" in verified(file, tmp_path / "none").problem
    kind, name = guard.split()
    bent = {"trigger": "after insert on events begin select 1; end", "view": "as select 1 as seq"}
    with opened(file) as connection:
        connection.execute(f"create {kind} {name} {bent[kind]}")
    assert f"{guard} of the database was changed" in verified(file, tmp_path / "none").problem


SWALLOW = """create trigger quiet before insert on events when new.agent = 'evil'
begin select raise(ignore); end"""
HIDE = ("alter table events rename to kept", "create view events as select * from kept")


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        pytest.param([SWALLOW], "trigger quiet", id="a trigger that swallows rows"),
        pytest.param(
            ["create trigger t after insert on meta begin select 1; end"],
            "trigger t",
            id="a trigger on another table",
        ),
        pytest.param(HIDE, "", id="a view in the place of the table"),
    ],
)
def test_finds_a_guard_that_is_not_ours(
    pristine: Path, tmp_path: Path, statements: list[str], named: str
) -> None:
    """It could keep rows out, or from being seen; a view of one's own is no harm."""
    file = shutil.copy(pristine / "interlock.db", tmp_path)
    with opened(file) as connection:
        connection.execute("create view mine as select count(*) as n from events")
    assert verified(file, pristine / "checkpoints").intact
    with opened(file) as connection:
        connection.execute("drop view mine")
        connection.execute("pragma legacy_alter_table = on")
        for statement in statements:
            connection.execute(statement)
    found = verified(file, pristine / "checkpoints")
    assert not found.intact
    assert named in found.problem


async def test_no_call_leaves_whose_row_is_swallowed(tmp_path: Path) -> None:
    """The chain would be whole without the row, so the moment of writing is when it shows."""
    file = tmp_path / "interlock.db"
    Database(file).close()
    with opened(file) as connection:
        connection.execute(SWALLOW)
    with Database(file) as database:
        ledger = Ledger(database)
        await ledger.decide([event(1)])
        with pytest.raises(LedgerUnavailableError, match="took no row"):
            await ledger.decide([replace(event(2), agent="evil")])
        await ledger.decide([event(3)])
        assert ledger.verify().problem == "the trigger quiet of the database is not ours"
