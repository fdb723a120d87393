"""Secrets that are kept elsewhere, over the wire: a store is slow, down, or has another value."""

import shlex
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from broker.stores import parse_reference
from interlock.model import Authority, Binding, Mode, Trust
from tests.door.patience import wait_for
from tests.door.world import CHAT, MESSAGE, TRUSTED, World

NAME = "openai-api-key"
# What hangs is given up after 5 seconds.
SLOW_S = 3.0


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("stores")) as world:
        yield world


@pytest.fixture
def own(_own: World) -> World:
    """A world whose secrets we may move."""
    _own.upstream.clear()
    return _own


def keep(world: World, command: str) -> None:
    """Keep the key of OpenAI with a command."""
    at = Authority("localhost", world.upstream.port)
    binding = Binding(NAME, at, "bearer", service="openai")
    reference = parse_reference(f"command:{command}")
    world.change(lambda i: i.set_secret(NAME, reference, [binding]))


def test_a_value_from_elsewhere_goes_the_same_way(own: World, tmp_path: Path) -> None:
    """The upstream gets it, the agent a mask; rotated, the new one counts at once, both are masked.

    The old value stays masked, although nothing else here knows it any more.
    """
    file, old, new = tmp_path / "value", own.fresh("sk-kept-OUTSIDE"), own.fresh("sk-kept-OUTSIDE")
    file.write_text(old)
    keep(own, f"cat {file}")
    with own.client(Mode.OBSERVE) as client:
        first = client.post(f"{own.openai}/echo", content=new)
        file.write_text(new)
        again = client.post(f"{own.openai}/v1/chat/completions", json=CHAT)
        own.change(lambda i: i.rotate_secret(NAME))
        rotated = client.post(f"{own.openai}/echo", content=old)
    assert again.status_code == 401, "this upstream knows other keys"
    sent = [r.values(b"authorization")[0].decode() for r in own.received()]
    assert sent == [f"Bearer {old}", f"Bearer {old}", f"Bearer {new}"]
    assert old not in first.text
    assert new in first.text, "what nobody here has fetched cannot be known"
    assert old not in rotated.text
    assert new not in rotated.text
    assert old not in own.doors[Mode.OBSERVE].log


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_store_that_is_down_refuses_in_both_modes(own: World, mode: Mode) -> None:
    """No stale value, no call without its key: which secret is told, and the ledger says why."""
    keep(own, "false")
    with own.client(mode) as client:
        answer = client.post(f"{own.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 503
    assert "secret_unavailable" in answer.text
    assert "is unavailable (decision" in answer.text
    assert "exit status" not in answer.text
    assert "exit status 1" in str(own.rows("decision")[-1]["body"]["reasons"])
    assert own.received() == []


def test_a_store_that_hangs_delays_nobody_else(own: World) -> None:
    """Twenty calls wait for it; those of another secret are as fast as ever."""
    keep(own, f"{sys.executable} -c {shlex.quote('import time; time.sleep(60)')}")
    url = f"{own.anthropic}/v1/messages"
    with own.client(Mode.OBSERVE) as client:
        before = times(client, url)
        answers: list[int] = []
        waiting = [threading.Thread(target=_call, args=(own, answers)) for _ in range(20)]
        for thread in waiting:
            thread.start()
        time.sleep(0.7)
        during = times(client, url)
    for thread in waiting:
        thread.join(30)
    assert answers == [503] * 20
    assert max(during) < max(SLOW_S, 5 * max(before)), (before, during)


def times(client: httpx.Client, url: str) -> list[float]:
    """How long thirty calls take, each."""
    found = []
    for _ in range(30):
        began = time.monotonic()
        assert client.post(url, json=MESSAGE).status_code == 200
        found.append(time.monotonic() - began)
    return found


def test_an_agent_cut_off_while_a_store_is_asked_gets_nothing(own: World, tmp_path: Path) -> None:
    """What a person takes away meanwhile is not given any more."""
    asked, go = tmp_path / "asked", tmp_path / "go"
    waits = f"touch {asked}; until test -e {go}; do sleep 0.05; done; echo 123456789"
    keep(own, f"sh -c {shlex.quote(waits)}")
    name, answers = own.join(), list[int]()
    thread = threading.Thread(target=_call, args=(own, answers, name))
    thread.start()
    wait_for(asked.exists)
    own.change(lambda i: i.registry.set_trust(name, Trust.QUARANTINED))
    go.touch()
    thread.join(30)
    assert answers == [503]
    assert own.received() == []


def _call(world: World, answers: list[int], agent: str = TRUSTED) -> None:
    with world.client(Mode.OBSERVE, agent) as client:
        answers.append(client.post(f"{world.openai}/v1/chat/completions", json=CHAT).status_code)
