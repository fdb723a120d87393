"""Webhooks beside a real front door: every event is told, and no call waits for it."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from tests.alerts.receiver import Receiver
from tests.door.patience import wait_for
from tests.door.world import CHAT, UNVERIFIED, World

HANGS_S = 5.0
# A call may be slower than another by so much, with nobody to blame.
NOISE_S = 0.25


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A world of our own, so that no webhook of ours hears of other tests."""
    with World(tmp_path, modes=()) as world:
        yield world


def listen(world: World, receiver: Receiver, *subjects: str) -> None:
    world.change(lambda i: i.webhooks.add(receiver.url, subjects))


def test_the_front_door_tells_what_happens(own: World) -> None:
    """A secret that is used and a call that is denied, by the ids that the agent got."""
    with Receiver() as receiver:
        listen(own, receiver, "secret_access", "denial")
        with own.door(Mode.ENFORCE, reverse=()) as door:
            url = f"{own.openai}/v1/chat/completions"
            with own.through(door) as one, own.through(door, UNVERIFIED) as other:
                allowed, denied = one.post(url, json=CHAT), other.post(url, json=CHAT)
            news = receiver.wait_for(2)
    assert [(each["type"], each["decision_id"]) for each in news] == [
        ("secret_access", allowed.headers["interlock-decision-id"]),
        ("denial", denied.headers["interlock-decision-id"]),
    ]
    assert not any(key in str(receiver.posts) for key in own.keys.values())


def test_a_killed_front_door_loses_no_news(own: World) -> None:
    """What it had no time to tell, the next one tells."""
    with Receiver(503) as receiver:
        listen(own, receiver, "secret_access")
        with own.door(Mode.ENFORCE, reverse=()) as door:
            with own.through(door) as one:
                for _ in range(5):
                    one.get(f"{own.openai}/v1/models")
            door.process.kill()
            door.process.wait()
        receiver.answer(200)
        receiver.posts.clear()
        with own.door(Mode.ENFORCE, reverse=()):
            news = receiver.wait_for(5, seconds=40)
    accesses = [event["id"] for event in own.rows("secret_access")]
    assert [each["id"] for each in news] == accesses[-5:]


def test_a_receiver_that_hangs_slows_no_call(own: World) -> None:
    """The median of calls is the same with it as without."""

    def median(door: FrontDoor) -> float:
        taken = []
        with own.through(door) as one:
            for _ in range(30):
                started = time.perf_counter()
                assert one.get(f"{own.openai}/v1/models").status_code == 200
                taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    with (
        Receiver(hang_s=HANGS_S) as receiver,
        own.door(Mode.ENFORCE, reverse=()) as door,
    ):
        before = median(door)
        listen(own, receiver, "secret_access")
        after = median(door)
        wait_for(lambda: receiver.posts)  # one may be on its way while the calls are over
    assert after < before + NOISE_S
