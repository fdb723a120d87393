"""A flow that is held goes on when it is let go, and no sooner."""

import time

import pytest

from interlock.model import Mode
from tests.door.test_invariants import SABOTEURS
from tests.door.world import World

# As long as the addon holds a call at each of its four steps.
HELD_S, STEPS = 0.2, 4


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_call_that_is_held_at_every_step_goes_through(
    world: World, mode: Mode, http2: bool
) -> None:
    """Twice over one connection; it takes as long as it is held."""
    held = ("-s", str(SABOTEURS / "hold_flow.py"))
    with (
        world.either(mode, *held, reverse=()) as door,
        world.through(door, http2=http2) as client,
    ):
        for _ in range(2):
            began = time.monotonic()
            assert client.get(f"{world.openai}/v1/models").status_code == 200
            assert time.monotonic() - began >= STEPS * HELD_S
    assert len(world.received()) == 2
