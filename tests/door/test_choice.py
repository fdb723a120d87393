"""Several keys for one host: the upstream sees the one that belongs to the call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import Secret
from interlock.model import Agent, Authority, Binding, Mode, Trust
from interlock.store.goals import Goal
from tests.door.world import CHAT, OPENAI_KEY, TRUSTED, UNVERIFIED, World

LAB = "lab-agent"
KEYS = {name: f"sk-choice-REAL-{name}-9f8e7d6c5b4a" for name in ("agent", "group", "goal", "path")}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A world of our own, in which other keys are bound to the same host."""
    with World(tmp_path, modes=(Mode.OBSERVE,)) as world:
        furnish(world)
        yield world


def furnish(world: World) -> None:
    """Bind four more keys to the host, each for other calls."""
    at = Authority("localhost", world.upstream.port)
    agent = Agent(LAB, groups=("lab",), trust=Trust.TRUSTED)
    world.keys[LAB] = world.change(lambda i: i.registry.add(agent))
    world.change(lambda i: i.goals.add(Goal("audit", agents=frozenset({TRUSTED}))))
    conditions = {
        "agent": {"agents": frozenset({UNVERIFIED})},
        "group": {"groups": frozenset({"lab"})},
        "goal": {"goals": frozenset({"audit"})},
        "path": {"paths": frozenset({"/echo"})},
    }
    for name, value in KEYS.items():
        bound = Binding(f"key-{name}", at, "bearer", **conditions[name])  # type: ignore[arg-type]
        world.change(lambda i, n=name, v=value, b=bound: i.set_secret(f"key-{n}", Secret(v), [b]))


def seen(world: World, agent: str, path: str = "/v1/chat/completions", goal: str = "") -> list[str]:
    """Which keys the upstream saw for one call in observe mode."""
    world.upstream.clear()
    said = {"Interlock-Goal": goal} if goal else {}
    with world.client(Mode.OBSERVE, agent) as client:
        client.post(f"{world.openai}{path}", json=CHAT, headers=said)
    return [
        v.decode().removeprefix("Bearer ")
        for r in world.received()
        for v in r.values(b"authorization")
    ]


def test_the_key_is_chosen_by_the_call(own: World) -> None:
    """By agent, group, path and open goal; claiming another agent's goal gets nothing of it."""
    assert seen(own, TRUSTED) == [OPENAI_KEY]
    assert seen(own, UNVERIFIED) == [KEYS["agent"]]
    assert seen(own, LAB) == [KEYS["group"]]
    assert seen(own, TRUSTED, "/echo/x") == [KEYS["path"]]
    assert seen(own, TRUSTED, "/echoes") == [OPENAI_KEY]
    assert seen(own, TRUSTED, goal="audit") == [KEYS["goal"]]
    assert seen(own, UNVERIFIED, goal="audit") == [KEYS["agent"]]
    assert seen(own, LAB, goal="audit") == [KEYS["group"]]
    assert seen(own, TRUSTED, goal="no-such-goal") == [OPENAI_KEY]
