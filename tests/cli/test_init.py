"""`interlock init`, `doctor`, `version`, and the home they share."""

import asyncio
import os
import socket
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from broker.remote import Address, serve
from interlock.cli.advice import RESTORE, RIGHTS, advise
from interlock.cli.ports import is_free, listener
from interlock.cli.reader import NEWER, START
from interlock.errors import StoreError
from tests.cli.terminal import Terminal


def test_init_makes_everything_and_says_so(terminal: Terminal) -> None:
    """Home, database, keys and authority, nobody else's; the second time nothing changes."""
    made = terminal.does("init", "--json").object["made"]
    names = {str(Path(path).relative_to(terminal.home)) for path in made}
    needed = {"interlock.db", "keys/master.key", "keys/sct-0001.key", "ca/interlock-ca.pem"}
    assert needed <= names
    assert stat.S_IMODE(terminal.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((terminal.home / "keys" / "master.key").stat().st_mode) == 0o600
    before = terminal.snapshot()
    assert "nothing was changed" in terminal.does("init").out
    assert terminal.snapshot() == before


def test_init_makes_a_database_of_an_empty_file(terminal: Terminal) -> None:
    """A file without a byte is no database yet, so it is told as made."""
    terminal.does("init")
    database = terminal.home / "interlock.db"
    database.write_bytes(b"")
    assert terminal.does("init", "--json").object["made"] == [str(database)]
    assert "nothing was changed" in terminal.does("init").out


def test_init_leads_on(terminal: Terminal) -> None:
    """It says what to do next, and the doctor has no complaint."""
    assert "interlock agent add" in terminal.does("init").out
    assert "failure" not in terminal.does("doctor").out


def test_init_says_when_the_authority_is_broken(terminal: Terminal) -> None:
    """A damaged file is named, not replaced: agents trust it."""
    terminal.does("init")
    (terminal.home / "ca" / "interlock-ca.pem").unlink()
    (terminal.home / "ca" / "mitmproxy-ca.pem").write_text("not a certificate")
    assert str(terminal.home / "ca") in terminal.fails(2, "init")


def test_the_option_wins_over_the_environment(terminal: Terminal, tmp_path: Path) -> None:
    """--home, then INTERLOCK_HOME."""
    terminal.does("--home", str(tmp_path / "other"), "agent", "add", "a1")
    assert (tmp_path / "other" / "interlock.db").exists()
    assert not terminal.home.exists()


def _widen_home(home: Path) -> None:
    home.chmod(0o755)


def _widen_key(home: Path) -> None:
    (home / "keys" / "master.key").chmod(0o644)


def _lose_master_key(home: Path) -> None:
    (home / "keys" / "master.key").unlink()


def _lose_authority(home: Path) -> None:
    (home / "ca" / "interlock-ca.pem").unlink()


def _break_policies(home: Path) -> None:
    folder = home.parent / "policies"
    folder.mkdir()
    (folder / "a.cedar").write_text("permit (principal, action, resource")
    (home / "interlock.toml").write_text(f'policies = "{folder}"')


def _break_database(home: Path) -> None:
    (home / "interlock.db").write_text("this is not SQLite, however one reads it" * 99)


@pytest.mark.parametrize(
    ("harm", "subject"),
    [
        pytest.param(_widen_home, "home", id="a home that others may read"),
        pytest.param(_widen_key, "keys", id="a key that others may read"),
        pytest.param(_lose_master_key, "secrets", id="secrets without their master key"),
        pytest.param(_lose_authority, "certificate", id="no certificate"),
        pytest.param(_break_policies, "policies", id="a broken policy"),
        pytest.param(_break_database, "database", id="a database that is none"),
    ],
)
def test_the_doctor_finds_it(
    lived_in: Terminal, harm: Callable[[Path], None], subject: str
) -> None:
    """Exit 1; the failure says what to do and mends nothing itself."""
    harm(lived_in.home)
    before = lived_in.snapshot()
    answer = lived_in.run("doctor", "--json")
    failures = [check for check in answer.objects if check["status"] == "failure"]
    assert answer.code == 1
    assert subject in {check["subject"] for check in failures}
    assert all(check["advice"] for check in failures)
    assert lived_in.snapshot() == before


@pytest.mark.parametrize(
    ("settings", "subject", "found"),
    [
        pytest.param('routes = "x"', "ways", "NAME=https://HOST", id="routes"),
        pytest.param('shadow = "/nope"', "shadow", "/nope", id="no candidates"),
        pytest.param('broker = "/nope.sock"', "keys", "no master key may be here", id="broker"),
        pytest.param(
            'broker = "/nope.sock"\nparent_secret = "p"', "ways", "not beside a broker", id="parent"
        ),
    ],
)
def test_the_doctor_asks_what_the_front_door_asks(
    lived_in: Terminal, settings: str, subject: str, found: str
) -> None:
    """What keeps that from starting is a failure, in the same words."""
    (lived_in.home / "interlock.toml").write_text(settings)
    said = [c for c in lived_in.run("doctor", "--json").objects if c["subject"] == subject]
    assert any(c["status"] == "failure" and found in c["found"] for c in said)


def test_the_doctor_finds_a_binding_that_other_hands_wrote(lived_in: Terminal) -> None:
    """The command line refuses such a one."""
    lived_in.tamper("update bindings set recipe = 'jwt'")
    said = [c for c in lived_in.run("doctor", "--json").objects if c["subject"] == "bindings"]
    assert [c["status"] for c in said] == ["failure"]


def _empty_database(home: Path) -> None:
    (home / "interlock.db").write_bytes(b"")


def _renew_database(home: Path) -> None:
    with closing(sqlite3.connect(home / "interlock.db")) as connection:
        connection.execute("pragma user_version = 999")


def _lose_store(home: Path) -> None:
    (home / "interlock.toml").write_text(f'store = "{home}/nowhere/x.db"')


def _folder_for_store(home: Path) -> None:
    (home / "interlock.toml").write_text(f'store = "{home}"')


@pytest.mark.parametrize(
    ("harm", "advice"),
    [
        pytest.param(_break_database, RESTORE, id="no database"),
        pytest.param(_empty_database, START, id="an empty one"),
        pytest.param(_renew_database, NEWER, id="one of a later version"),
        pytest.param(_lose_store, START, id="a store that is not there"),
        pytest.param(_folder_for_store, RIGHTS, id="a folder"),
    ],
)
def test_what_to_do_about_a_database_depends_on_why(
    lived_in: Terminal, harm: Callable[[Path], None], advice: str
) -> None:
    """Said once: a backup does not help where nothing is broken."""
    harm(lived_in.home)
    said = lived_in.run("doctor", "--json").objects
    (found,) = [check for check in said if check["subject"] == "database"]
    assert found["advice"] == advice
    assert advice not in found["found"]


def test_what_may_not_be_written_needs_no_backup(tmp_path: Path) -> None:
    """SQLite says why."""
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("pragma query_only = on")
        with pytest.raises(sqlite3.OperationalError) as refused:
            connection.execute("create table t (x)")
    error = StoreError("cannot read")
    error.__cause__ = refused.value
    assert advise(error) == ("cannot read", RIGHTS)


@pytest.mark.parametrize("harm", [_widen_key, _lose_master_key])
def test_a_master_key_that_does_not_serve_is_told_once(
    lived_in: Terminal, harm: Callable[[Path], None]
) -> None:
    """However many secrets it would open; none of them is told to be set anew."""
    lived_in.does("secret", "set", "other", "--host", "a.example", stdin=b"sk-12345")
    harm(lived_in.home)
    found = [c for c in lived_in.run("doctor", "--json").objects if c["subject"] == "secrets"]
    assert len(found) == 1
    assert "none can be opened" in found[0]["found"]
    assert "master.key" in found[0]["found"]
    assert "secret set" not in found[0]["advice"]
    wrong = lived_in.run("doctor", "--json", INTERLOCK_MASTER_KEY="ab" * 32).objects
    assert "this is not the key" in next(c["found"] for c in wrong if c["subject"] == "secrets")


async def test_the_doctor_knocks_at_the_broker(lived_in: Terminal, tmp_path: Path) -> None:
    """A broker that does not listen, or says nothing, is a failure; one that answers is fine."""
    path = tmp_path / "broker.sock"
    (lived_in.home / "interlock.toml").write_text(f'broker = "{path}"\n')

    async def found() -> str:
        said = (await asyncio.to_thread(lived_in.run, "doctor", "--json")).objects
        (broker,) = [f"{c['status']} {c['found']}" for c in said if c["subject"] == "broker"]
        return broker

    assert (await found()).startswith("failure ")
    async with serve(Address(path), answer):
        assert (await found()).endswith("; bindings: 2")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert "does not answer within" in await found()


async def answer(question: object, who: str) -> dict[str, object]:
    """What a broker with two bindings says."""
    return {"change": 1, "bindings": [{}, {}]}


def test_names_who_listens() -> None:
    """A port that is taken says by whom."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        if Path("/proc/net/tcp").exists():
            assert listener(port).endswith(f"pid {os.getpid()}")
    assert is_free(port)


def test_version(terminal: Terminal) -> None:
    """What to put into a bug report."""
    assert set(terminal.does("version", "--json").object) == {
        "interlock",
        "mitmproxy",
        "cedarpy",
        "python",
    }
    assert "interlock" in terminal.does("version").out
    assert terminal.does("--version").out == terminal.does("version").out


def test_no_command_shows_the_help(terminal: Terminal) -> None:
    """A newcomer types the name and sees what there is."""
    assert "doctor" in terminal.does().out
