"""What an agent gets when a call was cleared but the upstream failed it."""

import pytest

from interlock.demo.ports import free_ports
from interlock.model import Mode
from tests.door.world import CHAT, World


@pytest.mark.parametrize("protocol", ["http/1.1", "http/2"])
def test_an_upstream_that_is_not_there_is_a_readable_502(
    world: World, mode: Mode, protocol: str
) -> None:
    """JSON with the decision id, and the connection can be used again."""
    (nobody,) = free_ports(1)
    with world.client(Mode.OBSERVE, http2=protocol == "http/2") as client:
        answer = client.post(f"https://localhost:{nobody}/v1/chat/completions", json=CHAT)
        again = client.get(f"{world.openai}/v1/models")
    assert answer.status_code == 502
    assert "Connect call failed" in answer.json()["error"]["message"]
    assert answer.headers["interlock-decision-id"].startswith("dec_")
    assert again.status_code == 200
    assert world.outcome(answer.headers["interlock-decision-id"])["status"] is None


def test_an_upstream_on_a_private_address_is_refused(world: World, mode: Mode) -> None:
    """Without an allow-list entry nothing private is dialled, and the message says so."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.get(f"https://127.0.0.2:{world.upstream.port}/echo")
    assert answer.status_code == 502
    assert "interlock_allow_private" in answer.text
    assert world.received() == []


def test_a_missing_secret_is_said_by_name(world: World, mode: Mode) -> None:
    """A binding whose secret is gone ends in 503 in both modes, and nothing is dialled."""
    (port,) = free_ports(1)
    world.keep("vanishing", "sk-to-be-removed-1234", port, "openai")
    world.change(
        lambda i: i.database.write(
            lambda c: c.execute("delete from secrets where name = 'vanishing'")
        )
    )
    with world.client(mode) as client:
        answer = client.post(f"https://localhost:{port}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 503
    assert "vanishing" in answer.json()["error"]["message"]
