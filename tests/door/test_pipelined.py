"""What comes in one piece is taken one after the other."""

import time

import pytest

from interlock.model import Mode
from tests.door.raw import read_until_closed
from tests.door.world import TRUSTED, World

# More than hooks are called in a row, and than Python would nest.
MANY = 1500


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_requests_that_come_at_once_are_all_answered(world: World, mode: Mode) -> None:
    """However many are refused, each is, in its turn; and the upstream receives nothing."""
    door = world.doors[mode]
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Digest x\r\n"
    requests = (head + b"\r\n") * (MANY - 1) + head + b"Connection: close\r\n\r\n"
    answers = read_until_closed(door.ports[1], door.ca, requests, "127.0.0.1")
    assert answers.count(b"HTTP/1.1 40") == MANY
    assert world.received() == []
    assert "Traceback" not in door.log


@pytest.mark.parametrize("key", [True, False])
def test_a_connection_ends_where_its_agent_says_so(world: World, key: bool) -> None:
    """Also that of a call which takes a key along; whoever reads to the end would wait for long."""
    door = world.doors[Mode.ENFORCE]
    proof = f"Authorization: Bearer {world.keys[TRUSTED]}\r\n" if key else ""
    asked = f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{proof}Connection: TE, Close\r\n\r\n"
    began = time.monotonic()
    answer = read_until_closed(door.ports[1], door.ca, asked.encode(), "127.0.0.1")
    assert answer.startswith(b"HTTP/1.1 200 " if key else b"HTTP/1.1 40")
    assert time.monotonic() - began < 10
