"""Options of mitmproxy that we allow do what they say, from the start on or set while running."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from tests.door.patience import wait_for
from tests.door.test_invariants import SABOTEURS
from tests.door.world import World

SCRIPT = ("-s", str(SABOTEURS / "set_option.py"))
ETAG = {"if-none-match": '"one"'}


@pytest.fixture(scope="module")
def door(_world: World) -> Iterator[FrontDoor]:
    """mitmdump with nothing set, and a script that sets what a call asks for."""
    with _world.door(Mode.OBSERVE, *SCRIPT, "--set", "flow_detail=0", reverse=()) as started:
        yield started


@pytest.fixture
def client(world: World, door: FrontDoor) -> Iterator[httpx.Client]:
    """A client of it."""
    with world.through(door) as one:
        yield one


def ask(world: World, client: httpx.Client, wanted: str = "", **headers: str) -> httpx.Response:
    """One call, before which an option is set."""
    more = {"x-set": wanted} if wanted else {}
    return client.get(f"{world.openai}/v1/models", headers=headers | more)


def told(world: World) -> list[bool]:
    """Whether the upstream was told what the agent has already, for each call."""
    return [b"if-none-match" in dict(one.headers) for one in world.received()]


def test_anticache_works_while_it_is_on(world: World, client: httpx.Client) -> None:
    """Off, on, on, off again, over one connection."""
    for wanted in ("", "anticache=true", "", "anticache=false", ""):
        assert ask(world, client, wanted, **ETAG).status_code == 200
    assert told(world) == [True, False, False, True, True]


def test_a_block_list_blocks_while_it_is_there(world: World, client: httpx.Client) -> None:
    """What it blocks does not reach the upstream."""
    assert ask(world, client, "block_list=/~u models/451").status_code == 451
    assert ask(world, client).status_code == 451
    assert world.received() == []
    assert ask(world, client, "block_list").status_code == 200


def test_flows_are_shown_as_soon_as_they_are_asked_for(
    world: World, door: FrontDoor, client: httpx.Client
) -> None:
    """`flow_detail`, which is 0 to begin with."""
    shown = f"GET {world.openai}/v1/models"
    ask(world, client)
    assert shown not in door.log
    ask(world, client, "flow_detail=1")
    wait_for(lambda: shown in door.log)
    ask(world, client, "flow_detail=0")


def test_flows_are_saved_as_soon_as_a_file_is_named(
    world: World, client: httpx.Client, tmp_path: Path
) -> None:
    """Each call is in the file that was named when it ended."""
    files = tmp_path / "first", tmp_path / "second"
    for file in files:
        ask(world, client, f"save_stream_file={file}", accept=file.name)
    ask(world, client, "save_stream_file", accept="none")
    for file, other in (files, files[::-1]):
        saved = file.read_bytes()
        assert b"/v1/models" in saved
        assert file.name.encode() in saved
        assert other.name.encode() not in saved


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param("map_remote=|localhost|127.0.0.1", id="another host"),
        pytest.param("map_local=|/v1/models|{file}", id="an answer of one's own"),
        pytest.param("modify_headers=/accept/evil", id="another header"),
        pytest.param("modify_body=/./evil", id="another body"),
        pytest.param("stickyauth=.", id="somebody's key"),
        pytest.param("onboarding=true", id="pages of mitmproxy"),
    ],
)
def test_what_is_refused_changes_nothing(
    world: World, client: httpx.Client, tmp_path: Path, refused: str
) -> None:
    """It is rolled back, and the call is as it would have been."""
    file = tmp_path / "evil"
    file.write_text("evil")
    for wanted in (refused.format(file=file), ""):
        answer = ask(world, client, wanted, accept="text/plain")
        assert answer.status_code == 200
        assert "evil" not in answer.text
    for received in world.received():
        assert dict(received.headers)[b"host"].startswith(b"localhost")
        assert b"text/plain" in dict(received.headers)[b"accept"]


@pytest.mark.parametrize("program", ["mitmdump", "interlock"])
def test_what_is_set_at_the_start_holds(world: World, tmp_path: Path, program: str) -> None:
    """By either program, as far as it has the option."""
    saved, har = tmp_path / "flows", tmp_path / "flows.har"
    words = ["--set", f"save_stream_file={saved}"]
    if program == "mitmdump":
        words += ["--set", "anticache=true", "--set", f"hardump={har}"]
    else:
        words += ["--workers", "1"]
    door = world.door(Mode.OBSERVE, *words, program=program, reverse=())
    with door, world.through(door) as client:
        assert ask(world, client, **ETAG).status_code == 200
        if program == "mitmdump":
            wait_for(lambda: f"GET {world.openai}/v1/models" in door.log)
    assert b"/v1/models" in saved.read_bytes()
    assert told(world) == [program == "interlock"]
    if program == "mitmdump":
        entries = json.loads(har.read_text())["log"]["entries"]
        assert [entry["request"]["url"] for entry in entries] == [f"{world.openai}/v1/models"]
