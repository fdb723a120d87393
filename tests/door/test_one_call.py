"""One governed call, from the agent to the upstream and back, over real sockets."""

import re

import pytest

from interlock.model import Mode
from interlock.store.modes import ModeRule
from tests.door.patience import wait_for
from tests.door.world import CHAT, OPENAI_KEY, SECRETS, TRUSTED, UNVERIFIED, Http2Upstream, World


def test_an_allowed_call_gets_the_key_exactly_once(world: World, mode: Mode) -> None:
    """The upstream sees the real key in one header; the agent sees no trace of it."""
    with world.client(mode) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    assert answer.headers["interlock-decision"] == "allow"
    (received,) = world.received()
    assert received.values(b"authorization") == [f"Bearer {OPENAI_KEY}".encode()]
    assert not [name for name, _ in received.headers if name.startswith((b"interlock", b"proxy-"))]
    assert not any(secret in answer.text for secret in SECRETS)


def test_a_denied_call_reaches_nobody(world: World) -> None:
    """Enforce mode answers 403 with the decision, and the upstream receives nothing."""
    with world.client(Mode.ENFORCE, UNVERIFIED) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 403
    assert answer.headers["interlock-decision"] == "deny"
    assert answer.json()["interlock"]["decision_id"] == answer.headers["interlock-decision-id"]
    assert world.received() == []


def test_observe_lets_go_on_what_it_would_deny(world: World) -> None:
    """The call works as if nothing had been decided; header and ledger say what would be."""
    with world.client(Mode.OBSERVE, UNVERIFIED) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    assert answer.headers["interlock-decision"] == "would_deny"
    decision = world.events(answer.headers["interlock-decision-id"])[0]
    assert decision["body"]["effect"] == "deny"
    assert decision["body"]["enforced"] is False


def test_the_secret_is_masked_wherever_the_upstream_echoes_it(world: World, mode: Mode) -> None:
    """Body and headers come back with stars of the same length in place of the key."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.get(f"{world.openai}/echo")
    assert "*" * len(OPENAI_KEY) in answer.text
    assert not any(secret in answer.text + str(answer.headers) for secret in SECRETS)


@pytest.mark.parametrize("agent", [TRUSTED, UNVERIFIED])
def test_every_call_leaves_a_decision_and_an_outcome(world: World, agent: str) -> None:
    """The ledger tells who, what, why, and what became of it, and its chain holds."""
    with world.client(Mode.OBSERVE, agent) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    events = world.events(answer.headers["interlock-decision-id"])
    assert {event["kind"] for event in events} >= {"decision", "secret_access"}
    assert {event["agent"] for event in events} == {agent}
    assert world.change(lambda installation: installation.ledger.verify()).intact


def test_calls_of_one_connection_share_one_to_the_upstream(world: World, mode: Mode) -> None:
    """The address is pinned, the key is put in anew for each call, and TLS is set up once."""
    door = world.doors[mode]
    before = door.log.count(" server connect ")
    with world.client(mode) as client:
        for _ in range(3):
            assert client.get(f"{world.openai}/v1/models").status_code == 200
    wait_for(lambda: door.log.count(" server connect ") > before)
    assert door.log.count(" server connect ") == before + 1
    keys = [received.values(b"authorization") for received in world.received()]
    assert keys == [[f"Bearer {OPENAI_KEY}".encode()]] * 3


def test_calls_of_http2_share_one_to_an_upstream_of_http2(world: World) -> None:
    """Each call is a stream of it."""
    door = world.doors[Mode.OBSERVE]
    with Http2Upstream(world.certificates) as upstream:
        connected = re.compile(rf" server connect .*:{upstream.port}\b")
        with world.client(Mode.OBSERVE, http2=True) as client:
            for _ in range(3):
                assert client.get(f"{upstream.url}/v1/models").status_code == 200
        wait_for(lambda: connected.search(door.log))
        assert len(connected.findall(door.log)) == 1
        assert [received.http_version for received in upstream.received] == ["2"] * 3


def test_one_agent_can_be_enforced_alone(world: World) -> None:
    """In observe mode, from its next call on, and nobody else is touched."""
    world.change(lambda i: i.modes.set(ModeRule("agent", UNVERIFIED, Mode.ENFORCE, "trial")))
    try:
        with world.client(Mode.OBSERVE, UNVERIFIED) as client:
            answer = client.get(f"{world.openai}/v1/models")
        with world.client(Mode.OBSERVE, "") as client:
            other = client.get(f"{world.openai}/v1/models")
    finally:
        world.change(lambda i: i.modes.clear("agent", UNVERIFIED))
    assert answer.status_code == 403
    assert other.headers["interlock-decision"] == "would_deny"
    assert len(world.received()) == 1
