"""One listener for many providers: the name that the agent uses says which one it means."""

import ssl
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from addons.destination import parse_routes
from interlock.demo.front_door import FrontDoor
from interlock.errors import SettingsError
from interlock.model import Mode
from tests.door.raw import read_until_closed
from tests.door.world import (
    ANTHROPIC_KEY,
    BARE_ENVIRON,
    CHAT,
    MESSAGE,
    OPENAI_KEY,
    TRUSTED,
    UNVERIFIED,
    World,
)


@pytest.fixture(scope="module", params=list(Mode), ids=str)
def door(request: pytest.FixtureRequest, _world: World) -> Iterator[FrontDoor]:
    """A front door of each mode: mitmdump observes, our own program enforces."""
    mode: Mode = request.param
    routes = f"proxy-openai={_world.openai}, Proxy-Anthropic={_world.anthropic}/"
    with _world.either(
        mode,
        *("--set", f"interlock_routes={routes}"),
        reverse=("https://routes",),
    ) as started:
        yield started


def call(
    world: World, door: FrontDoor, name: str, path: str, body: dict[str, object], **more: str
) -> httpx.Response:
    """Call a provider by its name at the one port; the certificate must be for that name."""
    agent = more.pop("agent", TRUSTED)
    with httpx.Client(
        verify=ssl.create_default_context(cafile=door.ca),
        trust_env=False,
        timeout=20,
    ) as client:
        return client.post(
            f"https://127.0.0.1:{door.ports[1]}{path}",
            json=body,
            headers={
                "Host": more.pop("host", f"{name}:{door.ports[1]}"),
                "Authorization": f"Bearer {world.keys[agent]}",
            },
            extensions={"sni_hostname": name},
        )


@pytest.mark.parametrize(
    ("name", "path", "body", "secret"),
    [
        ("proxy-openai", "/v1/chat/completions", CHAT, OPENAI_KEY),
        ("proxy-anthropic", "/v1/messages", MESSAGE, ANTHROPIC_KEY),
    ],
)
def test_each_name_leads_to_its_provider_with_its_key(
    world: World,
    door: FrontDoor,
    name: str,
    path: str,
    body: dict[str, object],
    secret: str,
) -> None:
    """Over TLS for that name; the ledger has the provider's host."""
    answer = call(world, door, name, path, body)
    assert answer.status_code == 200, answer.text
    received = world.carried(secret)
    host = "localhost" if name == "proxy-openai" else "127.0.0.1"
    assert received.values(b"host")[0].startswith(host.encode())
    (decision, *_) = world.events(answer.headers["interlock-decision-id"])
    assert decision["body"]["host"].startswith(host)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        pytest.param("proxy-other", "proxy-other", id="a name that is not mapped"),
        pytest.param("proxy-openai", "proxy-anthropic", id="SNI of one, Host of another"),
        pytest.param("proxy-other", "proxy-openai", id="SNI of none, Host of one"),
        pytest.param("proxy-openai", "localhost", id="SNI of one, Host of an upstream"),
        pytest.param("routes", "routes", id="the name of the listener"),
        pytest.param("localhost", "localhost", id="the upstream itself"),
    ],
)
def test_what_is_not_one_name_of_ours_is_refused(
    world: World, door: FrontDoor, name: str, host: str
) -> None:
    """In both modes, and nobody receives anything."""
    answer = call(world, door, name, "/v1/chat/completions", CHAT, host=host)
    assert answer.status_code == 421
    assert "authority_mismatch" in answer.text
    assert world.received() == []
    (row,) = world.events(answer.headers["interlock-decision-id"])
    assert (row["body"]["effect"], row["body"]["enforced"]) == ("deny", True)
    assert row["body"]["sni"] == name


def test_each_request_of_a_connection_is_judged_anew_over_http2_too(
    world: World, door: FrontDoor
) -> None:
    """What a connection began with opens nothing for the rest of it."""
    url = f"https://proxy-openai:{door.ports[1]}/v1/models"
    shared = ["--http2", "--cacert", str(door.ca), "-H", f"x-api-key: {world.keys[TRUSTED]}"]
    shared += ["--resolve", f"proxy-openai:{door.ports[1]}:127.0.0.1", "-s", "-o", "/dev/null"]
    shared += ["-w", "%{http_version} %{http_code} %{num_connects}\n", "--max-time", "20"]
    done = subprocess.run(
        ["curl", "-q", *shared, url, "--next", *shared, "-H", "Host: proxy-anthropic", url],
        capture_output=True,
        text=True,
        env=BARE_ENVIRON,
        check=True,
    )
    assert done.stdout.splitlines() == ["2 200 1", "2 421 0"]
    world.carried(OPENAI_KEY)


def test_two_hosts_in_one_request_are_none(world: World, door: FrontDoor) -> None:
    """Even where both are served."""
    request = (
        "GET /v1/models HTTP/1.1\r\nHost: proxy-openai\r\nHost: proxy-openai\r\n"
        f"Authorization: Bearer {world.keys[TRUSTED]}\r\nConnection: close\r\n\r\n"
    )
    answer = read_until_closed(door.ports[1], door.ca, request.encode(), "proxy-openai")
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert world.received() == []


def test_a_denied_call_reaches_nobody(world: World, door: FrontDoor) -> None:
    """A name opens no more than a base URL does."""
    answer = call(world, door, "proxy-openai", "/v1/chat/completions", CHAT, agent=UNVERIFIED)
    if answer.headers["interlock-decision"] == "would_deny":
        return
    assert answer.status_code == 403
    assert world.received() == []


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        pytest.param("a=http://x", "it must be NAME=https://HOST", id="plain HTTP"),
        pytest.param("a=https://x,A=https://y", "given once", id="a name twice"),
        pytest.param("a:1=https://x", "without a port", id="a name with a port"),
        pytest.param("=https://x", "'=https://x'", id="no name"),
    ],
)
def test_bad_routes_are_one_line(routes: str, said: str) -> None:
    """It names the setting and the entry."""
    with pytest.raises(SettingsError, match=r"^interlock_routes: [^\n]*$") as refused:
        parse_routes(routes)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        pytest.param("reverse:https://routes", "interlock_routes", id="routes, and none is given"),
        pytest.param("socks5", "is refused", id="SOCKS, which is not governed"),
        pytest.param("tun", "is refused", id="a tunnel of IP, which is not governed"),
    ],
)
def test_a_mode_that_cannot_be_governed_is_one_line(world: World, mode: str, said: str) -> None:
    """Nothing is served."""
    with pytest.raises(RuntimeError, match=said), world.door(Mode.ENFORCE, modes=(mode,)):
        pass
