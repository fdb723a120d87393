"""An agent that is cut off is gone within a second: also from what is under way."""

import time
from collections.abc import Iterator

import httpx
import pytest

from interlock.model import Agent, Mode, Trust
from tests.door.world import World

# What may pass between the command and the end of the connection.
AT_MOST_S = 1.0


def joined(world: World, mode: Mode, trust: Trust = Trust.TRUSTED) -> str:
    """Register a new agent and answer its name."""
    name = f"agent-{time.monotonic_ns()}"
    world.keys[name] = world.change(lambda i: i.registry.add(Agent(name, trust=trust)))
    return name


def read_until(events: Iterator[bytes], deadline: float) -> None:
    """Read on; a stream that still sends after the deadline fails the test."""
    for _ in events:
        assert time.monotonic() < deadline, "the stream runs on"


@pytest.mark.parametrize("trust", [Trust.QUARANTINED, Trust.REVOKED], ids=str)
@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_running_stream_ends_when_its_agent_is_cut_off(
    world: World, trust: Trust, style: str
) -> None:
    """In enforce mode the stream breaks off; nothing waits for its next request."""
    with world.reading(Mode.ENFORCE) as door:
        name = joined(world, Mode.ENFORCE)
        proxy = door.proxy(name, world.keys[name]) if style == "proxy" else None
        base = world.openai if proxy else f"https://127.0.0.1:{door.ports[1]}"
        headers = {} if proxy else {"Authorization": f"Bearer {world.keys[name]}"}
        with (
            httpx.Client(
                proxy=proxy, verify=world.trust(Mode.ENFORCE), trust_env=False, headers=headers
            ) as client,
            client.stream("GET", f"{base}/ticks?count=1000&interval=20") as stream,
        ):
            assert stream.status_code == 200
            events = stream.iter_raw()
            next(events)
            world.change(lambda i: i.registry.set_trust(name, trust))
            cut_at = time.monotonic()
            with pytest.raises(httpx.HTTPError):
                read_until(events, cut_at + AT_MOST_S)


def test_observe_mode_flags_and_gives_no_credential(world: World) -> None:
    """The call of a quarantined agent goes on without any key, and the ledger says why."""
    name = joined(world, Mode.OBSERVE)
    with world.client(Mode.OBSERVE, name) as client:
        assert client.get(f"{world.openai}/v1/models").status_code == 200
        world.change(lambda i: i.registry.set_trust(name, Trust.QUARANTINED))
        answer = client.get(f"{world.openai}/v1/models")
    assert answer.status_code == 401
    assert answer.headers["interlock-decision"] == "would_deny"
    assert world.received()[-1].credential == b""
    decision = world.events(answer.headers["interlock-decision-id"])[0]
    assert decision["body"]["stage"] == "trust"


def test_a_key_that_was_rotated_ends_its_connections(world: World, mode: Mode) -> None:
    """In both modes: a proof that does not hold is no proof."""
    name = joined(world, mode)
    with (
        world.client(Mode.OBSERVE, name) as client,
        client.stream("GET", f"{world.openai}/ticks?count=1000&interval=20") as stream,
    ):
        events = stream.iter_raw()
        next(events)
        world.change(lambda i: i.registry.rotate_key(name))
        cut_at = time.monotonic()
        with pytest.raises(httpx.HTTPError):
            read_until(events, cut_at + AT_MOST_S)


def test_others_are_not_disturbed(world: World) -> None:
    """The stream of one agent runs on when another is cut off."""
    name = joined(world, Mode.OBSERVE)
    with (
        world.client(Mode.OBSERVE) as client,
        client.stream("GET", f"{world.openai}/ticks?count=60&interval=20") as stream,
    ):
        events = stream.iter_raw()
        next(events)
        world.change(lambda i: i.registry.set_trust(name, Trust.REVOKED))
        assert b"59" in b"".join(events)
