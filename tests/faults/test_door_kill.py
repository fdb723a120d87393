"""SIGKILL to a front door under load: what its upstream saw is a part of what is recorded."""

import hashlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from tests.door.world import CHAT, World
from tests.faults.workers import DOOR_ROUNDS, events

CALLERS = 4


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A home and an upstream, and no front door but those that the test kills."""
    with World(tmp_path, modes=()) as world:
        yield world


@pytest.mark.parametrize(
    ("program", "options"),
    [
        pytest.param("mitmdump", (), id="mitmdump -s"),
        pytest.param("interlock", ("--workers", "2"), id="interlock proxy"),
    ],
)
def test_what_an_upstream_saw_before_a_kill_is_recorded(
    world: World, program: str, options: tuple[str, ...]
) -> None:
    """Again and again; the next start gives each open call an outcome, and the file is sound."""
    file, dice, numbers = world.home / "interlock.db", random.Random(), itertools.count()
    broken_off = []
    for _ in range(DOOR_ROUNDS):
        with world.door(Mode.OBSERVE, *options, program=program, reverse=()) as door:
            enough = len(world.received()) + 2 * CALLERS
            with loaded(world, door, numbers), long_call(world, door) as decision:
                broken_off.append(decision)
                wait_until(lambda enough=enough: len(world.received()) > enough)
                time.sleep(dice.uniform(0.0, 0.3))
                kill(door)
        seen = [hashlib.sha256(one.body).hexdigest() for one in world.received() if one.body]
        recorded = [e["body"]["body_sha256"] for e in events(file) if e["kind"] == "decision"]
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(recorded)
    with world.door(Mode.OBSERVE, *options, program=program, reverse=()):
        wait_until(lambda: open_calls(file) == set())
        ends = [world.outcome(decision)["ended"] for decision in broken_off]
    assert ends == ["unknown"] * DOOR_ROUNDS


@contextmanager
def loaded(world: World, door: FrontDoor, numbers: Iterator[int]) -> Iterator[None]:
    """Callers that call as fast as they can, until nobody answers; each body is sent once."""

    def call() -> None:
        with suppress(httpx.HTTPError), world.through(door) as client:
            while True:
                chat = CHAT | {"user": f"user-{next(numbers)}"}
                client.post(f"{world.openai}/v1/chat/completions", json=chat)

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        kill(door)
        for caller in callers:
            caller.join()


@contextmanager
def long_call(world: World, door: FrontDoor) -> Iterator[str]:
    """A call whose answer goes on until somebody is killed; its decision id."""
    url = f"{world.openai}/ticks?count=10000&interval=50"
    with (
        suppress(httpx.HTTPError),
        world.through(door) as client,
        client.stream("GET", url) as answer,
    ):
        yield answer.headers["interlock-decision-id"]


def kill(door: FrontDoor) -> None:
    """Kill a front door and its workers at once; nothing when it is dead."""
    if door.process.poll() is not None:
        return
    workers = Path(f"/proc/{door.process.pid}/task/{door.process.pid}/children").read_text()
    for pid in (door.process.pid, *map(int, workers.split())):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    door.process.wait()


def open_calls(file: Path) -> set[str]:
    """The decisions that have no outcome."""
    rows = events(file)
    ids = {
        kind: {row["decision_id"] for row in rows if row["kind"] == kind}
        for kind in ("decision", "outcome")
    }
    return ids["decision"] - ids["outcome"]


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what takes a while on a machine that is busy."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
