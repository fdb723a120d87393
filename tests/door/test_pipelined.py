"""What comes in one piece is taken one after the other."""

import pytest

from interlock.model import Mode
from tests.door.raw import read_until_closed
from tests.door.world import World

# More than hooks are called in a row, and than Python would nest.
MANY = 1500


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_requests_that_come_at_once_are_all_answered(world: World, mode: Mode) -> None:
    """However many are refused, each is, in its turn; and the upstream receives nothing."""
    door = world.doors[mode]
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Digest x\r\n"
    requests = (head + b"\r\n") * (MANY - 1) + head + b"Connection: close\r\n\r\n"
    answers = read_until_closed(door.ports[1], door.ca, requests, "127.0.0.1")
    assert answers.count(b"HTTP/1.1 401 ") == MANY
    assert world.received() == []
    assert "Traceback" not in door.log
