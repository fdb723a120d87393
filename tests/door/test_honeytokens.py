"""A planted key that is used through the front door cuts its user off, whatever the mode."""

import gzip
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from interlock.model import Mode, Trust
from tests.door.patience import assert_cut
from tests.door.raw import tunnelled
from tests.door.world import CHAT, TRUSTED, UNVERIFIED, World

PLANTED = "sk-proj-" + "Qm7xT3vK9pLw2ZrN" * 4
LEAKED = PLANTED.encode()


@pytest.fixture
def planted(world: World) -> Iterator[str]:
    """A honeytoken, and an agent of one's own that has found it."""
    with world.planted(PLANTED, "env-file"):
        yield world.join("thief")


def trust_of(world: World, name: str) -> Trust:
    return world.change(lambda i: i.registry.get(name)).trust


def alert(world: World, answer: httpx.Response) -> dict[str, Any]:
    """The alert of a refused call; nothing of the value stands in its rows or its answer."""
    rows = world.events(answer.headers["interlock-decision-id"])
    (found,) = [row for row in rows if row["kind"] == "alert"]
    (decision,) = [row for row in rows if row["kind"] == "decision"]
    assert (decision["body"]["label"], decision["body"]["stage"]) == ("deny", "trust")
    assert decision["body"]["reasons"][0][0] == "honeytoken"
    assert PLANTED not in str(rows) + answer.text
    assert "honeytoken" not in answer.text
    assert found["body"]["source_ip"] == "127.0.0.1"
    return dict(found)


USES: dict[str, tuple[dict[str, Any], str]] = {
    "as a bearer": ({"headers": {"Authorization": f"Bearer {PLANTED}"}}, "header authorization"),
    "in a header of its own": ({"headers": {"X-Data": f"a{PLANTED}z"}}, "header x-data"),
    "as a Basic password": ({"auth": ("user", PLANTED)}, "header authorization"),
    "as a declared intent": ({"headers": {"Interlock-Intent": PLANTED}}, "header interlock-intent"),
    "in the query": ({"params": {"key": PLANTED}}, "query"),
    "in JSON": ({"method": "POST", "json": CHAT | {"user": PLANTED}}, "body"),
    "in a form": ({"method": "POST", "data": {"k": PLANTED}}, "body"),
    "in a large body": ({"method": "POST", "content": bytes(300_000) + LEAKED}, "body"),
    "in gzip": (
        {
            "method": "POST",
            "content": gzip.compress(LEAKED),
            "headers": {"Content-Encoding": "gzip"},
        },
        "body",
    ),
}


@pytest.mark.parametrize("use", USES)
def test_using_a_planted_key_cuts_off(world: World, planted: str, mode: Mode, use: str) -> None:
    """In both modes: refused, told, quarantined; the upstream hears nothing.

    Broken by leaving the addon out of the list.
    """
    request, where = USES[use]
    with world.client(mode, planted) as client:
        answer = client.request(**{"method": "GET", "url": f"{world.openai}/echo"} | request)
    assert answer.status_code == 403
    found = alert(world, answer)
    assert (found["agent"], found["body"]["honeytoken"]) == (planted, "env-file")
    assert found["body"]["where"] == where
    assert found["body"]["authority"] == world.openai.removeprefix("https://")
    assert trust_of(world, planted) is Trust.QUARANTINED
    assert world.received() == []


def test_in_a_path_every_byte_of_it_encoded(world: World, planted: str, mode: Mode) -> None:
    """A path as no client library would write it."""
    path = "/" + "".join(f"%{byte:02x}" for byte in LEAKED)
    answer = tunnelled(world, mode, f"localhost:{world.upstream.port}", path=path, agent=planted)
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert trust_of(world, planted) is Trust.QUARANTINED
    assert world.rows("alert")[-1]["body"]["where"] == "path"
    assert world.received() == []


def test_in_the_key_slot_of_a_base_url(world: World, planted: str, mode: Mode) -> None:
    """Somebody tries the key as a provider's: refused and told, though nobody is proven."""
    headers = {"Authorization": f"Bearer {PLANTED}"}
    with httpx.Client(verify=world.trust(mode), trust_env=False, timeout=20) as client:
        answer = client.post(
            f"{world.base(mode, 'openai')}/v1/chat/completions", json=CHAT, headers=headers
        )
    assert answer.status_code == 403
    assert alert(world, answer)["agent"] == "unidentified"
    assert answer.json()["error"]["type"] == "permission_error"
    assert world.received() == []


def test_as_the_key_of_the_proxy(world: World, planted: str, mode: Mode) -> None:
    """In the Proxy-Authorization of a CONNECT; the name beside it proves nothing."""
    before = len(world.rows("alert"))
    proxy = world.doors[mode].proxy(TRUSTED, PLANTED)
    with (
        httpx.Client(proxy=proxy, verify=world.trust(mode), trust_env=False, timeout=20) as client,
        pytest.raises(httpx.ProxyError),
    ):
        client.get(f"{world.openai}/v1/models")
    (found,) = world.rows("alert")[before:]
    assert (found["agent"], found["body"]["where"]) == (
        "unidentified",
        "header proxy-authorization",
    )
    assert trust_of(world, TRUSTED) is Trust.TRUSTED
    assert world.received() == []


def test_an_open_connection_is_cut(world: World, planted: str) -> None:
    """In enforce mode the second call of the same connection does not come through."""
    with world.reading(Mode.ENFORCE) as door:
        proxy = door.proxy(planted, world.keys[planted])
        with httpx.Client(
            proxy=proxy, verify=world.trust(Mode.ENFORCE), trust_env=False, timeout=20
        ) as client:
            with client.stream("GET", f"{world.openai}/ticks?count=1000&interval=20") as stream:
                events = stream.iter_raw()
                next(events)
                with httpx.Client(
                    proxy=proxy, verify=world.trust(Mode.ENFORCE), trust_env=False, timeout=20
                ) as other:
                    other.get(f"{world.openai}/echo", headers={"X-Key": PLANTED})
                assert_cut(events)
            world.upstream.clear()
            assert client.get(f"{world.openai}/echo").status_code == 403
    assert world.received() == []


def test_in_observe_mode_the_next_call_has_no_credential(world: World, planted: str) -> None:
    """Quarantine is the registry's: the call goes on, and without any key."""
    with world.client(Mode.OBSERVE, planted) as client:
        client.get(f"{world.openai}/echo", headers={"X-Key": PLANTED})
        answer = client.get(f"{world.openai}/v1/models")
    assert answer.headers["interlock-decision"] == "would_deny"
    assert [received.credential for received in world.received()] == [b""]


def test_who_uses_nothing_planted_is_left_alone(world: World, planted: str, mode: Mode) -> None:
    """The agent's own key and the secret that is put in for it are no honeytokens."""
    before = len(world.rows("alert"))
    with world.client(mode) as client:
        assert client.post(f"{world.openai}/v1/chat/completions", json=CHAT).status_code == 200
    headers = {"Authorization": f"Bearer {world.keys[TRUSTED]}"}
    with httpx.Client(
        verify=world.trust(mode), trust_env=False, headers=headers, timeout=20
    ) as client:
        base = world.base(mode, "openai")
        assert client.post(f"{base}/v1/chat/completions", json=CHAT).status_code == 200
    assert len(world.rows("alert")) == before
    assert trust_of(world, UNVERIFIED) is Trust.UNVERIFIED
