"""Whatever an agent sends, its values are in no place where the ledger is kept or goes."""

import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from broker import Keyring
from interlock.installation import Installation
from interlock.ledger import Archive
from interlock.ledger.export import FORMATS, Source
from interlock.ledger.retention import prune
from interlock.model import Mode
from interlock.settings import Settings
from tests.door.world import CHAT, MESSAGE, World

PLACES = ("prompt", "argument", "query", "header", "form")
CANARIES = [f"canary-{place}-7f3b9c1d" for place in PLACES]
PROMPT, ARGUMENT, QUERY, HEADER, FORM = CANARIES


@pytest.fixture
def called(world: World, mode: Mode) -> list[str]:
    """The decisions about calls with a canary wherever an agent can put one."""
    tool = {"function": {"name": "pay", "arguments": json.dumps({"to": ARGUMENT})}}
    said = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", **tool}]},
    ]
    headers = {"X-Note": HEADER, "Cookie": f"session={HEADER}", "User-Agent": HEADER}
    base, other = world.openai, world.anthropic
    with world.client(mode) as client:
        answers = [
            client.post(f"{base}/v1/chat/completions", json=CHAT | {"messages": said}),
            client.post(f"{other}/v1/messages", json=MESSAGE | {"system": PROMPT, "stream": True}),
            client.post(f"{base}/echo", json={"jsonrpc": "2.0", "params": {"arguments": ARGUMENT}}),
            client.post(f"{base}/echo?note={QUERY}&{QUERY}", data={"note": FORM}),
            client.get(f"{base}/echo?note={QUERY}&a.b={QUERY}", headers=headers),
            client.put(f"{base}/echo", content=PROMPT),
        ]
    return [answer.headers["interlock-decision-id"] for answer in answers]


def copied(world: World, home: Path) -> Path:
    """The world's home as it is at one moment, though its front doors go on."""
    shutil.copytree(world.home, home, ignore=shutil.ignore_patterns("interlock.db*"))
    with (
        closing(sqlite3.connect(world.home / "interlock.db")) as live,
        closing(sqlite3.connect(home / "interlock.db")) as copy,
    ):
        live.backup(copy)
    return home


def everything(home: Path) -> dict[str, bytes]:
    """What each place holds: the files of the home, every export, and the archive unpacked."""
    files = [path for path in home.rglob("*") if path.is_file()]
    found = {path.name: path.read_bytes() for path in files}
    settings = Settings.load(home=home)
    with Installation(settings) as installation:
        archive = Archive(home / "archive")
        pages = list(Source(installation.ledger, archive).pages({}))
        for name, format_ in FORMATS.items():
            messages = (m for page in pages for m in format_().messages(page.events))
            found[f"export {name}"] = "\n".join(m.text for m in messages).encode()
        keyring = Keyring.open(settings.keys, "checkpoint")
        seals = list(prune(installation.ledger, archive, keyring, float("inf")))
        found["archive"] = b"".join(
            gzip.decompress((archive.folder / seal.file).read_bytes()) for seal in seals
        )
    return found


def test_no_value_of_a_request_is_kept(
    world: World, mode: Mode, called: list[str], tmp_path: Path
) -> None:
    """Not in the database, its log, an export or the archive; digests and names of fields are."""
    rows = [world.events(decision_id)[0]["body"] for decision_id in called]
    assert rows[0]["body_fields"] == ["model", "messages"]
    assert rows[4]["query_fields"] == ["note", "a.b"]
    assert all(len(row["body_sha256"]) == 64 for row in rows)
    found = everything(copied(world, tmp_path / "home"))
    for file in world.home.glob("interlock.db*"):
        found[f"live {file.name}"] = file.read_bytes()
    for name, content in found.items():
        assert [canary for canary in CANARIES if canary.encode() in content] == [], name


def test_a_canary_would_be_found(world: World, called: list[str], tmp_path: Path) -> None:
    """The search itself works: what is put into a body shows in every place."""
    copied(world, tmp_path / "home")
    with closing(sqlite3.connect(tmp_path / "home" / "interlock.db")) as connection, connection:
        (guard,) = connection.execute(
            "select sql from sqlite_master where name = 'events_no_update'"
        ).fetchone()
        connection.execute("drop trigger events_no_update")
        connection.execute(
            "update events set body = json_set(body, '$.path', ?) where decision_id = ?",
            [PROMPT, called[0]],
        )
        connection.execute(guard)
    found = everything(tmp_path / "home")
    places = {name for name, content in found.items() if PROMPT.encode() in content}
    assert places >= {"archive", *(f"export {name}" for name in FORMATS)}
    assert places & {"interlock.db", "interlock.db-wal"}
