"""A call that needs a person waits for one, blocks nobody, and is let through once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from interlock.store.approvals import Approval
from tests.door.patience import wait_for
from tests.door.world import CHAT, OPENAI_KEY, TRUSTED, World

POLICIES = """
permit (principal, action in Action::"read", resource);
permit (principal, action == Action::"access_secret", resource);
@id("chat-needs-a-person") @effect("require_approval") @timeout("90s")
permit (principal, action == Action::"chat", resource)
unless { context has model && context.model == "hasty" };
@id("in-haste") @effect("require_approval") @timeout("1s")
permit (principal, action == Action::"chat", resource)
when { context has model && context.model == "hasty" };
"""


@pytest.fixture(scope="module")
def careful(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """An enforcing front door under which chatting needs a person."""
    folder = tmp_path_factory.mktemp("careful")
    (folder / "p.cedar").write_text(POLICIES)
    options = ("--set", f"interlock_policies={folder}")
    with _world.door(Mode.ENFORCE, *options, reverse=()) as door:
        yield door


def client(world: World, door: FrontDoor) -> httpx.Client:
    """A trusted agent at that door."""
    return httpx.Client(
        proxy=door.proxy(TRUSTED, world.keys[TRUSTED]),
        verify=world.trust(Mode.ENFORCE),
        trust_env=False,
        timeout=120,
    )


def chat(world: World, door: FrontDoor, approval: str = "", **more: str) -> httpx.Response:
    """One chat call, perhaps with an approval that it was given."""
    headers = {"Interlock-Approval": approval} if approval else {}
    with client(world, door) as one:
        url = f"{world.openai}/v1/chat/completions"
        return one.post(url, json=CHAT | more, headers=headers)


@contextmanager
def person(world: World, approved: bool) -> Iterator[None]:
    """Somebody at the command line, meanwhile, who answers the next question that comes up."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(0.05):
            if asked := pending(world):
                world.change(
                    lambda i: i.approvals.decide(asked[0].id, approved, "ada", "ok", time.time())
                )
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def waiting(world: World, door: FrontDoor) -> Iterator[threading.Thread]:
    """A call that waits for a person; in the end it is told no."""
    thread = threading.Thread(target=chat, args=(world, door))
    thread.start()
    try:
        yield thread
    finally:
        with person(world, approved=False):
            thread.join()


def pending(world: World) -> list[Approval]:
    """What waits for a person."""
    return world.change(lambda i: i.approvals.pending(time.time()))


@pytest.fixture(autouse=True)
def _nothing_waits(world: World) -> None:
    for approval in pending(world):
        world.change(lambda i, a=approval: i.approvals.decide(a.id, False, "", "", time.time()))  # type: ignore[misc]


def test_a_yes_lets_the_call_through(world: World, careful: FrontDoor) -> None:
    """The call that waited gets its answer, with the key, and the ledger says who said yes."""
    with person(world, approved=True):
        answer = chat(world, careful)
    assert answer.status_code == 200
    world.carried(OPENAI_KEY)
    decision = world.events(answer.headers["interlock-decision-id"])[-3:]
    (body,) = [event["body"] for event in decision if event["kind"] == "decision"]
    assert body["stage"] == "approval"
    assert ["approved", "ada: ok"] in body["reasons"]


def test_who_answers_is_told_what_the_call_is(world: World, careful: FrontDoor) -> None:
    """Method, path, why the agent says that it calls, and which policy asks; the ledger has it."""
    with waiting(world, careful):
        wait_for(lambda: pending(world))
        (asked,) = pending(world)
    told = asked.told
    assert (told["method"], told["path"]) == ("POST", "/v1/chat/completions")
    assert told["authority"] == world.openai.removeprefix("https://")
    assert told["reasons"][0][0]
    (event,) = [e for e in world.rows("approval") if e["body"]["approval"] == asked.id]
    assert event["body"] == told | {
        "approval": asked.id,
        "action": asked.action,
        "resource": asked.resource,
    }


def test_a_no_is_a_denial(world: World, careful: FrontDoor) -> None:
    """403 that says who said no; nothing leaves."""
    with person(world, approved=False):
        answer = chat(world, careful)
    assert answer.status_code == 403
    assert answer.headers["interlock-decision"] == "deny"
    assert "approval-denied" in answer.text
    assert world.received() == []


def test_nobody_answering_is_something_else(world: World, careful: FrontDoor) -> None:
    """403 with the approval's id, at the end of the policy's time; and it can still be given."""
    started = time.monotonic()
    answer = chat(world, careful, model="hasty")
    assert time.monotonic() - started > 0.9
    assert answer.status_code == 403
    assert answer.headers["interlock-decision"] == "needs_approval"
    assert "approval-timed-out" in answer.text
    assert world.received() == []
    approval = answer.json()["interlock"]["approval"]
    world.change(lambda i: i.approvals.decide(approval, True, "ada", "", time.time()))
    other = chat(world, careful, approval, model="hasty", user="another request")
    assert other.status_code == 403, "an approval fits the one request that it was given for"
    assert chat(world, careful, approval, model="hasty").status_code == 200
    again = chat(world, careful, approval, model="hasty")
    assert again.status_code == 403
    assert "spent already" in again.text
    assert len(world.received()) == 1


def test_a_waiting_call_blocks_no_other(world: World, careful: FrontDoor) -> None:
    """While one waits, others of the same agent pass."""
    with waiting(world, careful) as call, client(world, careful) as one:
        wait_for(lambda: pending(world))
        assert one.get(f"{world.openai}/v1/models").status_code == 200
        assert call.is_alive()


def test_observe_mode_asks_nobody(world: World, tmp_path: Path) -> None:
    """It records that a person would have been asked, and lets the call go on."""
    (tmp_path / "p.cedar").write_text(POLICIES)
    options = ("--set", f"interlock_policies={tmp_path}")
    with world.door(Mode.OBSERVE, *options, reverse=()) as door:
        answer = chat(world, door)
    assert answer.status_code == 200
    assert answer.headers["interlock-decision"] == "would_deny"
    assert pending(world) == []
