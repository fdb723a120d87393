"""A broker that is down, hangs, or is asked by a stranger: refused, soon, and nobody waits."""

import asyncio
import base64
import contextlib
import os
import socket
import sqlite3
import stat
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from broker import KeyFileError, Secret, StoreRefusalError, parse_recipe
from broker.remote import Address, Client, parse_address, serve, server
from broker.remote.peer import name_on, require_owner
from interlock.custody import RemoteCustody
from interlock.custody.speech import said_of, said_of_grant
from interlock.errors import BindingError, SettingsError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.ledger.ledger import new_id
from interlock.model import Authority, Mode
from interlock.settings import Settings
from interlock.store.writer import Transaction
from interlock.verdict import Credential, grant_for
from tests.custody.stage import BOUND, CLIENT, KEY, NAME, Stage, door, listening, prove, staged

PATIENT_S = 0.5
NOBODY = 65534
SPIFFE = "spiffe://example.org/front-door"
SAID = said_of(BOUND)


async def echo(question: object, who: str) -> dict[str, str]:
    """Answer whoever asks."""
    return {"who": who}


async def asked(address: Address) -> str:
    """Ask who we are, on a line of our own."""
    client = Client(address)
    try:
        return str((await client.ask("who"))["who"])
    finally:
        client.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take every question and answer none."""
    await reader.read()
    writer.close()


def soon(governor: Governor) -> None:
    """Do not let the test wait as long as a person would."""
    assert isinstance(governor.custody, RemoteCustody)
    governor.custody._client._patience = PATIENT_S


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_broker_that_is_gone_is_a_refusal_until_it_is_back(
    tmp_path: Path, mode: Mode
) -> None:
    """A call that needs a key is refused in both modes; others go on; then service resumes."""
    async with staged("socket", tmp_path, mode) as stage:
        path = tmp_path / "broker.sock"
        path.rename(tmp_path / "away")
        stage.governor.custody.close()
        refused, other = await stage.call(), await stage.call(Authority("example.com", 443))
        (tmp_path / "away").rename(path)
        again = await stage.call()
    assert refused.decision.refused
    assert refused.decision.reasons[0].policy_id == "secret_unavailable"
    assert "cannot be reached" in refused.decision.why
    assert other.decision.reasons[0].policy_id != "secret_unavailable"
    assert again.capability


async def test_a_broker_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    """Whoever needs it is refused in bounded time; the event loop turns meanwhile."""
    async with staged("socket", tmp_path) as first:
        await first.call()
    server = await asyncio.start_unix_server(silent, tmp_path / "broker.sock")
    settings = Settings.load(home=tmp_path / "door", broker=str(tmp_path / "broker.sock"))
    async with server:
        with Installation(settings) as home:
            stage = Stage(home, home, Governor(home))
            soon(stage.governor)
            following = asyncio.create_task(stage.governor.custody.follow())
            turns, started = 0, time.monotonic()
            call = asyncio.create_task(stage.call())
            while not call.done():
                await asyncio.sleep(0.01)
                turns += 1
            took, verdict = time.monotonic() - started, call.result()
            following.cancel()
            stage.governor.custody.close()
    assert verdict.decision.refused
    assert "does not answer within" in verdict.decision.why
    assert turns > 3
    assert took < 30


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param({}, "cannot be read", id="no change number"),
        pytest.param({"change": 1, "bindings": [7]}, "cannot be read", id="no binding"),
        pytest.param({"change": 1, "bindings": [SAID | {"authority": "*"}]}, "read", id="any host"),
        pytest.param({"change": 1, "bindings": [SAID | {"recipe": "x"}]}, "recipe", id="a recipe"),
        pytest.param({"change": 1, "bindings": [SAID | {"service": "x"}]}, "provider", id="no API"),
    ],
)
async def test_bindings_that_are_unsound_do_not_come_into_force(
    tmp_path: Path, answer: dict[str, object], said: str
) -> None:
    """I7 holds for what a broker says too; the last good ones stay."""

    async def bad(question: object, who: str) -> dict[str, object]:
        return answer

    async with staged("socket", tmp_path) as stage:
        before = stage.door.bindings.all()
        (tmp_path / "broker.sock").rename(tmp_path / "away")
        stage.governor.custody.close()
        async with serve(Address(tmp_path / "broker.sock"), bad):
            with pytest.raises((StoreRefusalError, BindingError), match=said):
                await stage.look()
            stage.governor.custody.close()
        assert stage.door.bindings.all() == before


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param({"recipe": "x"}, id="a recipe that is none"),
        pytest.param({"value": "%%%"}, id="no base64"),
        pytest.param({"value": "Cg=="}, id="a line break"),
        pytest.param({"value": None}, id="no value"),
        pytest.param({"forms": 7}, id="no forms"),
        pytest.param({"forms": {"%": 7}}, id="forms that are none"),
    ],
)
async def test_what_a_broker_says_is_read_or_refused(
    tmp_path: Path, bent: dict[str, object]
) -> None:
    """The call is refused, and no variable of what failed shows what came.

    Where its decision was on disk already, its outcome says so.
    """
    value = base64.b64encode(KEY.encode()).decode()
    said = {"recipe": "bearer", "value": value, "forms": {}, "change": 1} | bent

    async def bad(question: object, who: str) -> dict[str, object]:
        return {"change": 1, "bindings": [SAID]} if "change" in dict(question) else said  # type: ignore[call-overload]

    async with staged("socket", tmp_path) as stage:
        (tmp_path / "broker.sock").rename(tmp_path / "away")
        stage.governor.custody.close()
        async with serve(Address(tmp_path / "broker.sock"), bad):
            verdict = await stage.call()
            stage.governor.custody.close()
        assert verdict.decision.refused
        assert verdict.decision.reasons[0].policy_id == "secret_unavailable"
        assert KEY not in verdict.decision.why
        stage.door.ledger.flush()
        ends = [e["body"] for e in stage.door.ledger.tail(9) if e["kind"] == "outcome"]
        assert [end["ended"] for end in ends] == (["refused"] if "value" in bent else [])


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param({"agent": 5}, id="a number for a name"),
        pytest.param({"decision_id": True}, id="a truth for an id"),
        pytest.param({"agent": None}, id="nothing for a name"),
        pytest.param({"id": 10**30}, id="a number for an id"),
        pytest.param({"goal": ["g"]}, id="a list for a text"),
        pytest.param({"agent": "a" * 300}, id="a name without end"),
        pytest.param({"agent": "\x1b[2J"}, id="a name that a terminal obeys"),
        pytest.param({"agent": "a\ud800"}, id="a name that is no text"),
        pytest.param({"ttl": 1e9}, id="a grant for ever"),
        pytest.param({"more": "x"}, id="a part too many"),
    ],
)
async def test_a_bent_grant_gets_nothing_and_breaks_no_record(
    tmp_path: Path, bent: dict[str, object]
) -> None:
    """A front door that was taken over writes into the broker's ledger what it says of a grant.

    A number for a name was kept as a text and hashed as a number: the chain was broken for good.
    """
    async with staged("socket", tmp_path) as stage:
        verdict = await stage.call()
        grant = grant_for(verdict, Credential(BOUND, parse_recipe(BOUND.recipe), None), 30)
        custody, events = stage.governor.custody, stage.broker.ledger.newest()
        assert isinstance(custody, RemoteCustody)
        said = said_of_grant(replace(grant, id=new_id("sct")))
        with pytest.raises(StoreRefusalError, match="cannot be read"):
            await custody._client.ask("release", **SAID, grant=said | bent)
        assert stage.broker.ledger.newest() == events
        assert await custody._client.ask("release", **SAID, grant=said)
        assert stage.broker.ledger.verify().intact


async def test_a_change_of_the_broker_s_bindings_is_in_the_front_door_s_ledger(
    tmp_path: Path,
) -> None:
    """With before and after; a look that finds nothing new leaves no row."""
    async with staged("socket", tmp_path) as stage:
        elsewhere = replace(BOUND, authority=Authority("elsewhere.example", 443))
        stage.broker.set_secret(NAME, Secret(KEY), [elsewhere])
        for _ in range(2):
            await stage.look()
        rows = [e["body"] for e in stage.door.ledger.tail(20) if e["kind"] == "admin"]
        told = [row for row in rows if row["action"] == "broker.bindings"]
    here, there = ([f"{NAME} {b} bearer"] for b in (BOUND, elsewhere))
    assert [(row["before"], row["after"]) for row in told] == [([], here), (here, there)]


async def test_the_socket_is_its_owner_s_and_a_stranger_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says who connects; 0600, or 0660 for a group, never for everybody."""
    path = tmp_path / "broker.sock"
    async with serve(Address(path), echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "user" in await asked(Address(path))
    ours, group = os.geteuid(), os.getegid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    async with serve(Address(path), echo, group=group):
        with pytest.raises(StoreRefusalError, match="who is not let in"):
            await asked(Address(path))
    async with serve(Address(path), echo, [ours], group):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == group
        assert await asked(Address(path))
    assert not path.exists()


def test_a_broker_outside_the_group_says_how_to_get_in() -> None:
    """And leaves no socket that nobody could open."""
    ours = os.geteuid()
    group = next(gid for gid in range(1, 99) if gid not in {os.getegid(), *os.getgroups()})

    async def served(path: Path) -> None:
        async with serve(Address(path), echo, [ours + 1], group):
            pass

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        os.seteuid(NOBODY if ours == 0 else ours)
        try:
            with pytest.raises(KeyFileError, match="usermod -aG"):
                asyncio.run(served(folder / "s"))
        finally:
            os.seteuid(ours)
        assert list(folder.iterdir()) == []


def test_a_socket_that_a_stranger_serves_is_not_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, we, or the owner of its folder may serve it: nobody else is told what is asked."""
    ours = os.geteuid()
    stranger = NOBODY if ours == 0 else ours
    os.seteuid(stranger)
    line, other = socket.socketpair()  # the kernel notes who made it
    os.seteuid(ours)
    monkeypatch.setattr(os, "geteuid", lambda: stranger + 1)
    with line, other:
        with pytest.raises(PermissionError, match="chown the folder to the user of the broker"):
            require_owner(line, Path("/broker.sock"))
        if ours == 0:
            os.chown(tmp_path, stranger, -1)
        require_owner(line, tmp_path / "broker.sock")


async def test_over_tls_both_sides_prove_who_they_are(tmp_path: Path) -> None:
    """By our authority, and by name: that of the host, and one that is let in."""
    address = listening("tls", tmp_path)
    prove(tmp_path / "stranger", trustme.CA(), CLIENT)
    mixed = tmp_path / "mixed"  # believes our authority, and proves by another
    mixed.mkdir()
    for name, source in (("ca.pem", "client"), ("cert.pem", "stranger")):
        (mixed / name).write_bytes((tmp_path / source / name).read_bytes())
    (mixed / "key.pem").touch(0o600)
    (mixed / "key.pem").write_bytes((tmp_path / "stranger" / "key.pem").read_bytes())
    refused = [
        ("localhost", "stranger", "cannot be reached"),
        ("localhost", "mixed", "cannot be reached"),
        ("localhost", "server", "who is not let in"),  # of our authority, but another's name
        ("127.0.0.1", "client", "doesn't match|mismatch"),  # who serves is not who was dialled
    ]
    async with serve(address, echo, clients=[CLIENT, "elsewhere.example"]) as port:
        good = parse_address(f"tls://localhost:{port}", tmp_path / "client")
        assert await asked(good) == f"{CLIENT} at 127.0.0.1"
        for host, folder, said in refused:
            bad = parse_address(f"tls://{host}:{port}", tmp_path / folder)
            with pytest.raises(StoreRefusalError, match=said):
                await asked(bad)
    async with serve(address, echo) as port:
        good = parse_address(f"tls://localhost:{port}", tmp_path / "client")
        with pytest.raises(StoreRefusalError, match="who is not let in"):
            await asked(good)


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        pytest.param({"subjectAltName": [("URI", SPIFFE)]}, SPIFFE, id="a SPIFFE ID"),
        pytest.param({"subjectAltName": [("DNS", "a"), ("DNS", "door")]}, "door", id="any of them"),
        pytest.param({"subject": [[("commonName", "door")]]}, "door", id="the common name alone"),
        pytest.param(
            {"subject": [[("commonName", "door")]], "subjectAltName": [("DNS", "a")]},
            *("",),
            id="a common name beside others",
        ),
        pytest.param({"subjectAltName": [("email", "door")]}, "", id="a name of another kind"),
        pytest.param({}, "", id="none"),
    ],
)
def test_the_name_on_a_certificate(certificate: dict[str, Any], name: str) -> None:
    """Exactly one of those that are let in, where such names belong."""
    assert name_on(certificate, {SPIFFE, "door"}) == name


async def test_who_proves_nothing_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor who has too much to say; neither takes memory or a line from the others."""
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.3)
    monkeypatch.setattr(server, "LONGEST_QUESTION", 1000)
    address = listening("tls", tmp_path)
    async with serve(address, echo, clients=[CLIENT]) as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    async with serve(Address(tmp_path / "s"), echo):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"ask": "' + b"x" * 5000)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_second_broker_is_refused_and_a_dead_one_s_socket_replaced(
    tmp_path: Path,
) -> None:
    """Nobody takes a socket away from a broker that serves."""
    address = Address(tmp_path / "broker.sock")
    async with serve(address, echo):
        with pytest.raises(KeyFileError, match="another broker"):
            async with serve(address, echo):
                pass
        assert await asked(address)
    async with serve(address, echo):
        (tmp_path / "broker.sock").rename(tmp_path / "left-behind")
    async with serve(Address(tmp_path / "left-behind"), echo):
        assert await asked(Address(tmp_path / "left-behind"))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\n", id="nothing"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b'{"ask": "everything"}\n', id="an unknown question"),
        pytest.param(b'{"ask": "release", "secret": 7}\n', id="a question of another shape"),
        pytest.param(b'{"ask": "bindings", "change": 1e999}\n', id="a number without end"),
        pytest.param(b'{"ask": ["mask"]}\n', id="a list for a question"),
        pytest.param(b'{"ask": "mask", "authority": {"a": 1}}\n', id="an object for a host"),
        pytest.param(b"[" * 100_000 + b"\n", id="a parser's nightmare"),
        pytest.param(b"\xff\xfe\n", id="bytes that are no text"),
    ],
)
async def test_what_is_no_question_is_refused_and_the_broker_lives(
    tmp_path: Path, line: bytes
) -> None:
    """One line back, without a word of what was sent."""
    async with staged("socket", tmp_path) as stage:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "broker.sock")
        writer.write(line)
        assert b'"refused": "the question cannot be read' in await reader.readline()
        writer.close()
        assert (await stage.call()).capability


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_master_key_beside_a_broker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The promise that there is none can be relied on."""
    if where == "file":
        with Installation(Settings.load(home=tmp_path / "door")):
            pass
    else:
        monkeypatch.setenv("INTERLOCK_MASTER_KEY", "0" * 64)
    with pytest.raises(SettingsError, match=r"master\.key|INTERLOCK_MASTER_KEY"):
        door(tmp_path, str(tmp_path / "broker.sock"))


@pytest.mark.parametrize(
    "text",
    ["broker.sock", "http://127.0.0.1:1", "tls://127.0.0.1", "tls://:1"],
)
def test_an_address_that_is_none(tmp_path: Path, text: str) -> None:
    """An absolute path, or a host and port with what to prove by."""
    with (
        door(tmp_path, text) as home,
        pytest.raises(SettingsError, match="interlock_broker: "),
    ):
        Governor(home)


def test_the_key_of_tls_is_private(tmp_path: Path) -> None:
    """What others can read is refused, with the chmod."""
    listening("tls", tmp_path)
    (tmp_path / "client" / "key.pem").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Client(parse_address("tls://localhost:1", tmp_path / "client"))


def test_secrets_are_not_worked_on_beside_a_broker(tmp_path: Path) -> None:
    """Stored here, nobody would ever look at them."""
    with (
        door(tmp_path, str(tmp_path / "broker.sock")) as home,
        pytest.raises(SettingsError, match="kept by the broker"),
    ):
        home.remove_secret("openai-api-key")


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_secret_stays_at_the_broker_when_the_disk_refuses_the_decision(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the very last, when all of it is written and only the disk is missing.

    Broken by not awaiting the second answer before `_issue` in `Recorder.record`.
    """
    execute = Transaction.execute

    def refused(connection: Transaction, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "commit":
            file = execute(connection, "pragma database_list").fetchone()["file"]
            if Path(file).parent == tmp_path / "door":
                raise sqlite3.OperationalError("disk I/O error")
        return execute(connection, sql, *values)

    async with staged("socket", tmp_path, mode) as stage:
        monkeypatch.setattr(Transaction, "execute", refused)
        verdict = await stage.call()
        monkeypatch.undo()
        released = [e for e in stage.broker.ledger.tail(99) if e["kind"] == "secret_access"]
    assert verdict.decision.reasons[0].policy_id == "ledger_unavailable"
    assert not verdict.capability
    assert not released
