"""Webhooks beside a real front door: every event is told, and no call waits for it."""

import shutil
import statistics
import time
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.model import Mode
from interlock.settings import Settings
from tests.alerts.receiver import Receiver
from tests.door.world import CHAT, TRUSTED, UNVERIFIED, World

# A call may be slower than another by so much, with nobody to blame.
NOISE_S = 0.03


@pytest.fixture
def home(world: World, tmp_path: Path) -> Path:
    """A copy of the world's home, so that no webhook of ours hears of other tests."""
    shutil.copytree(world.home, tmp_path / "home")
    return tmp_path / "home"


def listen(home: Path, receiver: Receiver, *subjects: str) -> None:
    with Installation(Settings.load(home=home)) as installation:
        installation.webhooks.add(receiver.url, subjects)


def client(world: World, door: FrontDoor, agent: str = TRUSTED) -> httpx.Client:
    """An HTTP client of one agent."""
    return httpx.Client(
        proxy=door.proxy(agent, world.keys[agent]),
        verify=world.trust(Mode.ENFORCE),
        trust_env=False,
        timeout=20,
    )


def test_the_front_door_tells_what_happens(world: World, home: Path) -> None:
    """A secret that is used and a call that is denied, by the ids that the agent got."""
    with Receiver() as receiver:
        listen(home, receiver, "secret_access", "denial")
        with world.door(Mode.ENFORCE, home=home, reverse=()) as door:
            url = f"{world.openai}/v1/chat/completions"
            with client(world, door) as one, client(world, door, UNVERIFIED) as other:
                allowed, denied = one.post(url, json=CHAT), other.post(url, json=CHAT)
            news = receiver.wait_for(2)
    assert [(each["type"], each["decision_id"]) for each in news] == [
        ("secret_access", allowed.headers["interlock-decision-id"]),
        ("denial", denied.headers["interlock-decision-id"]),
    ]
    assert not any(key in str(receiver.posts) for key in world.keys.values())


def test_a_killed_front_door_loses_no_news(world: World, home: Path) -> None:
    """What it had no time to tell, the next one tells."""
    with Receiver(503) as receiver:
        listen(home, receiver, "secret_access")
        with world.door(Mode.ENFORCE, home=home, reverse=()) as door:
            with client(world, door) as one:
                for _ in range(5):
                    one.get(f"{world.openai}/v1/models")
            door.process.kill()
            door.process.wait()
        receiver.answer(200)
        receiver.posts.clear()
        with world.door(Mode.ENFORCE, home=home, reverse=()):
            news = receiver.wait_for(5, seconds=40)
    with Installation(Settings.load(home=home)) as installation:
        events = installation.ledger.tail(10_000)
    accesses = [event["id"] for event in events if event["kind"] == "secret_access"]
    assert [each["id"] for each in news] == accesses[-5:]


def test_a_receiver_that_hangs_slows_no_call(world: World, home: Path) -> None:
    """The median of calls is the same with it as without."""

    def median(door: FrontDoor) -> float:
        taken = []
        with client(world, door) as one:
            for _ in range(30):
                started = time.perf_counter()
                assert one.get(f"{world.openai}/v1/models").status_code == 200
                taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    with (
        Receiver(hang_s=5) as receiver,
        world.door(Mode.ENFORCE, home=home, reverse=()) as door,
    ):
        before = median(door)
        listen(home, receiver, "secret_access")
        after = median(door)
        deadline = time.monotonic() + 20  # the post may be on its way while the calls are over
        while not receiver.posts and time.monotonic() < deadline:
            time.sleep(0.05)
        assert receiver.posts
    assert after < before + NOISE_S
