"""What changes while a call waits for a person: the yes is one to the call as it stands by then."""

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import httpx
import pytest
from nacl.signing import SigningKey

from interlock.delegation import Scope, grant, read_chain
from interlock.demo.front_door import FrontDoor
from interlock.hold import MOST_HELD
from interlock.model import Entity, Mode
from interlock.store.approvals import Approval
from tests.door.mcp_servers import agent_client
from tests.door.patience import wait_for
from tests.door.world import CHAT, World

ASKING = """
@id("secrets") permit (principal, action == Action::"access_secret", resource);
@id("a-person-looks") @effect("require_approval") @timeout("90s")
permit (principal, action == Action::"chat", resource);
"""
NEVER = '@id("no-more-chat") forbid (principal, action == Action::"chat", resource);'
CHAINED = """
@id("chain") forbid (principal, action == Action::"chat", resource)
unless { context.delegation_valid };
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A folder with a policy for which a person has to be asked."""
    (tmp_path / "p.cedar").write_text(ASKING)
    return tmp_path


@pytest.fixture
def door(world: World, policies: Path) -> Iterator[FrontDoor]:
    """An enforcing front door over these policies."""
    option = f"interlock_policies={policies}"
    with world.door(Mode.ENFORCE, "--set", option) as door:
        yield door


@contextmanager
def asked(
    world: World, door: FrontDoor, agent: str, **headers: str
) -> Iterator[tuple[Approval, list[httpx.Response]]]:
    """A call that waits; its answer is there at the end."""
    answers: list[httpx.Response] = []
    before = len(pending(world, agent))
    thread = threading.Thread(target=lambda: answers.append(chat(world, door, agent, **headers)))
    thread.start()
    wait_for(lambda: len(pending(world, agent)) > before)
    yield pending(world, agent)[-1], answers
    thread.join()


def chat(world: World, door: FrontDoor, agent: str, **headers: str) -> httpx.Response:
    """One chat call."""
    with world.through(door, agent) as client:
        url = f"{world.openai}/v1/chat/completions"
        return client.post(url, json=CHAT, headers=headers, timeout=60)


def pending(world: World, agent: str) -> list[Approval]:
    """What waits for a person."""
    waiting = world.change(lambda i: i.approvals.pending(time.time()))
    return [approval for approval in waiting if approval.agent == agent]


def say_yes(world: World, approval: Approval) -> None:
    """As a person at the command line."""
    world.change(lambda i: i.approvals.decide(approval.id, True, "ada", "", time.time()))


def require_denied(world: World, approval: Approval, answer: httpx.Response, why: str) -> None:
    """Nothing has left, the ledger says why, and the approval is there still."""
    assert answer.status_code == 403
    assert why in answer.text
    assert world.received() == []
    (row,) = [e["body"] for e in world.events(approval.decision_id) if e["kind"] == "decision"]
    assert (row["label"], row["reasons"][0][0]) == ("deny", why)
    after = world.change(lambda i: i.approvals.get(approval.id))
    assert after is not None
    assert after.spent_at is None


def test_a_policy_that_forbids_it_meanwhile(world: World, door: FrontDoor, policies: Path) -> None:
    """It is in force for what waits, too."""
    with asked(world, door, world.join("w")) as (approval, answers):
        (policies / "p.cedar").write_text(ASKING + NEVER)
        door.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "3 policies" in door.log)
        say_yes(world, approval)
    require_denied(world, approval, answers[0], "no-more-chat")


def test_a_delegation_that_is_revoked_meanwhile(
    world: World, door: FrontDoor, policies: Path
) -> None:
    """The chain is looked at again."""
    (policies / "p.cedar").write_text(ASKING + CHAINED)
    door.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "3 policies" in door.log)
    agent, key = world.join("w"), SigningKey.generate()
    ada, now = Entity("User", world.fresh("ada")), time.time()
    scope = Scope(("*",), ("*",), ("*",), ("*",), now - 1, now + 600, depth=1)
    chain = grant(key, ada, Entity("Agent", agent), scope, now)
    world.change(lambda i: i.delegations.add_key(ada, key.verify_key))
    with asked(world, door, agent, **{"Interlock-Delegation": chain}) as (approval, answers):
        (link,) = read_chain(chain)
        world.change(lambda i: i.delegations.revoke_link(link.id, "over"))
        say_yes(world, approval)
    require_denied(world, approval, answers[0], "delegation-broken")


def test_an_agent_that_went_away_may_send_it_again(world: World, door: FrontDoor) -> None:
    """The ledger says why it went no further; the yes is not spent before."""
    agent = world.join("w")
    with world.through(door, agent) as client, suppress(httpx.TimeoutException):
        client.post(f"{world.openai}/v1/chat/completions", json=CHAT, timeout=1)
    (approval,) = pending(world, agent)
    wait_for(lambda: label(world, approval) == "needs_approval")
    say_yes(world, approval)
    assert chat(world, door, agent, **{"Interlock-Approval": approval.id}).status_code == 200
    assert len(world.received()) == 1


def test_one_that_goes_away_at_the_yes_has_not_spent_it(world: World, door: FrontDoor) -> None:
    """Whichever comes first: the call leaves, or the approval stays."""
    agent = world.join("w")
    with world.through(door, agent) as client, suppress(httpx.TimeoutException):
        client.post(f"{world.openai}/v1/chat/completions", json=CHAT, timeout=1)
    (approval,) = pending(world, agent)
    say_yes(world, approval)
    wait_for(lambda: label(world, approval))
    assert label(world, approval) == "needs_approval"
    after = world.change(lambda i: i.approvals.get(approval.id))
    assert after is not None
    assert after.spent_at is None


def label(world: World, approval: Approval) -> str:
    """How the call of an approval was decided in the end; empty until it is."""
    rows = [e["body"] for e in world.events(approval.decision_id) if e["kind"] == "decision"]
    return str(rows[0]["label"]) if rows else ""


def test_one_stream_that_was_given_up_waits_no_longer(world: World, door: FrontDoor) -> None:
    """Over HTTP/2, where the connection goes on, which nobody has to end for that."""
    agent, port, trust = world.join("w"), door.ports[1], world.trust(Mode.ENFORCE)
    trust.set_alpn_protocols(["h2"])
    talk = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
    talk.initiate_connection()
    head = {":method": "POST", ":scheme": "https", ":authority": f"127.0.0.1:{port}"}
    head |= {":path": "/v1/chat/completions", "authorization": f"Bearer {world.keys[agent]}"}
    talk.send_headers(1, [*head.items(), ("content-type", "application/json")])
    talk.send_data(1, json.dumps(CHAT).encode(), end_stream=True)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(talk.data_to_send())
        wait_for(lambda: pending(world, agent))
        (approval,) = pending(world, agent)
        talk.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
        secure.sendall(talk.data_to_send())
        wait_for(lambda: label(world, approval) == "needs_approval")


async def test_nobody_is_asked_about_more_than_so_many_calls(world: World, door: FrontDoor) -> None:
    """One agent cannot bury what others ask; when it goes away, none of its calls waits on."""
    agent, url = world.join("w"), f"{world.openai}/v1/chat/completions"
    async with agent_client(world, door, agent, http2=True) as client:
        posts = [asyncio.create_task(client.post(url, json=CHAT)) for _ in range(MOST_HELD)]
        await asyncio.to_thread(wait_for, lambda: len(pending(world, agent)) == MOST_HELD)
        answer = await asyncio.to_thread(chat, world, door, agent)
        assert answer.status_code == 403
        assert "approval-not-asked" in answer.text
        assert len(pending(world, agent)) == MOST_HELD
        for post in posts:
            post.cancel()
    (*_, last) = pending(world, agent)
    wait_for(lambda: label(world, last) == "needs_approval")
    with asked(world, door, agent) as (approval, answers):
        say_yes(world, approval)
    assert answers[0].status_code == 200
