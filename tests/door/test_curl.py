"""curl, the client that everybody has, over HTTP/1.1 and HTTP/2, to both kinds of upstream."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.model import Mode
from tests.door.world import (
    ANTHROPIC_KEY,
    BARE_ENVIRON,
    CHAT,
    MESSAGE,
    OPENAI_KEY,
    SECRETS,
    TRUSTED,
    UNVERIFIED,
    WRONG_KEY,
    Http2Upstream,
    World,
)

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl: apt install curl")

HTTP2_KEY = "sk-http2-REAL-77aa88bb99cc00dd11ee22ff"
VERSIONS = [
    pytest.param("1.1", id="agent speaks HTTP/1.1"),
    pytest.param("2", id="agent speaks HTTP/2"),
]
POST = ("-X", "POST", "-H", "Content-Type: application/json", "-d")
CHAT_POST = (*POST, json.dumps(CHAT))
TUNNEL_REFUSED = 56  # curl's exit status for a proxy that refuses the tunnel


@dataclass(frozen=True, slots=True)
class Said:
    """What curl says about one call."""

    exit: int
    status: int
    version: str
    connect: int
    decision: str
    decision_id: str
    body: str


def curl(world: World, mode: Mode, *words: str, version: str = "1.1") -> Said:
    """Run curl, trusting the authority of the front door and knowing no proxy but a given one."""
    keys = ("http_code", "http_version", "http_connect")
    names = ("interlock-decision", "interlock-decision-id")
    form = "\n".join([*(f"%{{{key}}}" for key in keys), *(f"%header{{{name}}}" for name in names)])
    known = ("--cacert", str(world.doors[mode].ca), "--max-time", "20")
    wanted = "--http2" if version == "2" else "--http1.1"
    done = subprocess.run(
        ["curl", "-q", "-sS", wanted, *known, "-w", f"\n{form}", *words],
        env=BARE_ENVIRON,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    body, status, spoken, connect, decision, decision_id = done.stdout.rsplit("\n", 5)
    return Said(done.returncode, int(status), spoken, int(connect), decision, decision_id, body)


def through(world: World, mode: Mode, name: str = TRUSTED, key: str = "") -> tuple[str, ...]:
    """The words that lead through the proxy; an empty name gives no proof."""
    door = world.doors[mode]
    proxy = door.proxy(name, key or world.keys[name]) if name else door.proxy()
    return ("--proxy", proxy)


@pytest.fixture(scope="module")
def _http2_upstream(_world: World) -> Iterator[Http2Upstream]:
    """A provider that offers nothing but HTTP/2, with a key of its own."""
    with Http2Upstream(_world.certificates, keys={"openai": HTTP2_KEY}) as upstream:
        _world.keep("http2-api-key", HTTP2_KEY, upstream.port, "openai")
        yield upstream


@pytest.fixture
def http2_upstream(_http2_upstream: Http2Upstream) -> Http2Upstream:
    """The same, its memory empty."""
    _http2_upstream.clear()
    return _http2_upstream


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "words", [("/v1/models",), (*CHAT_POST, "/v1/chat/completions")], ids=["GET", "POST"]
)
@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_an_allowed_call_gets_the_key(
    world: World, mode: Mode, style: str, words: tuple[str, ...], version: str
) -> None:
    """One key, once, whatever the method, the version of HTTP and the way to the front door."""
    *options, path = words
    if style == "proxy":
        options += [*through(world, mode), world.openai + path]
    else:
        options += ["-H", f"Authorization: Bearer {world.keys[TRUSTED]}"]
        options += [world.base(mode, "openai") + path]
    said = curl(world, mode, *options, version=version)
    assert (said.status, said.decision, said.version) == (200, "allow", version)
    received = world.carried(OPENAI_KEY)
    assert received.path == path
    assert received.values(b"host") == [world.openai.removeprefix("https://").encode()]
    assert not [secret for secret in SECRETS if secret in said.body]


@pytest.mark.parametrize("slot", ["x-api-key", "Authorization: Bearer"])
def test_anthropic_gets_its_key_in_its_own_header(world: World, mode: Mode, slot: str) -> None:
    """Whichever slot brings the agent's key, the real one goes into x-api-key."""
    own = f"{slot}{' ' if slot.endswith('Bearer') else ': '}{world.keys[TRUSTED]}"
    version = ("-H", "anthropic-version: 2023-06-01")
    url = f"{world.base(mode, 'anthropic')}/v1/messages"
    said = curl(world, mode, *POST, json.dumps(MESSAGE), "-H", own, *version, url)
    assert said.status == 200
    assert world.carried(ANTHROPIC_KEY).values(b"x-api-key") == [ANTHROPIC_KEY.encode()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "words", [("/v1/models",), (*CHAT_POST, "/v1/chat/completions")], ids=["GET", "POST"]
)
def test_an_upstream_of_http2_gets_the_key(
    world: World, http2_upstream: Http2Upstream, mode: Mode, words: tuple[str, ...], version: str
) -> None:
    """The wire boundary holds over HTTP/2 too; the upstream hears the version the agent speaks."""
    *options, path = words
    options += [*through(world, mode), http2_upstream.url + path]
    said = curl(world, mode, *options, version=version)
    assert (said.status, said.decision) == (200, "allow")
    received = http2_upstream.received[0]
    assert received.http_version == version
    world.carried(HTTP2_KEY, http2_upstream)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_http2_upstream_cannot_leak_the_key(
    world: World, http2_upstream: Http2Upstream, version: str
) -> None:
    """Echoed in headers, body and byte by byte, it comes back as stars of the same length."""
    proxy = through(world, Mode.OBSERVE)
    for path in ("/echo", "/stream-echo?chunk=1", "/stream-echo?chunk=7"):
        http2_upstream.clear()
        said = curl(world, Mode.OBSERVE, "-i", *proxy, http2_upstream.url + path, version=version)
        assert said.status == 200
        assert "*" * len(HTTP2_KEY) in said.body
        assert HTTP2_KEY not in said.body
        world.carried(HTTP2_KEY, http2_upstream)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "words", [("/v1/models",), (*CHAT_POST, "/v1/chat/completions")], ids=["GET", "POST"]
)
@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_denied_call_reaches_nobody(
    world: World, style: str, words: tuple[str, ...], version: str
) -> None:
    """403 with the reason and the decision id, and the upstream receives nothing."""
    *options, path = words
    if style == "proxy":
        options += [*through(world, Mode.ENFORCE, UNVERIFIED), world.openai + path]
    else:
        options += ["-H", f"Authorization: Bearer {world.keys[UNVERIFIED]}"]
        options += [world.base(Mode.ENFORCE, "openai") + path]
    said = curl(world, Mode.ENFORCE, *options, version=version)
    assert (said.status, said.decision, said.version) == (403, "deny", version)
    assert said.decision_id in json.loads(said.body)["error"]["message"]
    assert world.received() == []


def test_a_denied_call_to_an_http2_upstream_reaches_nobody(
    world: World, http2_upstream: Http2Upstream
) -> None:
    """A denial does not depend on what the upstream speaks."""
    options = (*CHAT_POST, *through(world, Mode.ENFORCE, UNVERIFIED))
    url = f"{http2_upstream.url}/v1/chat/completions"
    said = curl(world, Mode.ENFORCE, *options, url, version="2")
    assert (said.status, said.decision) == (403, "deny")
    assert http2_upstream.received == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_trusted_agent_is_denied_what_no_policy_permits(world: World, version: str) -> None:
    """A key opens no other doors: the web is not a model."""
    options = (*through(world, Mode.ENFORCE), f"{world.openai}/echo")
    said = curl(world, Mode.ENFORCE, *options, version=version)
    assert (said.status, said.decision) == (403, "deny")
    assert world.received() == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param(TRUSTED, WRONG_KEY, id="a key that nobody has"),
        pytest.param("nobody", WRONG_KEY, id="an agent that nobody registered"),
        pytest.param(TRUSTED, "hunter2", id="a key of no known form"),
    ],
)
def test_a_wrong_key_at_the_proxy_is_a_407(world: World, mode: Mode, name: str, key: str) -> None:
    """Both modes refuse the tunnel itself: a bad proof is worse than none."""
    url = f"{world.openai}/v1/models"
    said = curl(world, mode, *through(world, mode, name, key), url)
    assert (said.exit, said.connect, said.status) == (TUNNEL_REFUSED, 407, 0)
    assert world.received() == []


def test_the_key_of_another_agent_is_a_407(world: World, mode: Mode) -> None:
    """Name and key belong together."""
    options = through(world, mode, TRUSTED, world.keys[UNVERIFIED])
    said = curl(world, mode, *options, f"{world.openai}/v1/models")
    assert (said.exit, said.connect) == (TUNNEL_REFUSED, 407)
    assert world.received() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_key_at_a_base_url_is_a_401(world: World, mode: Mode, version: str) -> None:
    """Both modes answer in the provider's error shape."""
    own = ("-H", f"Authorization: Bearer {WRONG_KEY}")
    url = f"{world.base(mode, 'openai')}/v1/models"
    said = curl(world, mode, *own, url, version=version)
    assert said.status == 401
    assert json.loads(said.body)["error"]["type"] == "authentication_error"
    assert WRONG_KEY not in said.body
    assert world.received() == []


@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_missing_key_is_denied_in_enforce_mode(world: World, style: str) -> None:
    """Nobody is somebody whom no policy knows."""
    url = world.openai if style == "proxy" else world.base(Mode.ENFORCE, "openai")
    options = through(world, Mode.ENFORCE, "") if style == "proxy" else ()
    said = curl(world, Mode.ENFORCE, *options, f"{url}/v1/models")
    assert (said.status, said.decision) == (403, "deny")
    (decision,) = world.events(said.decision_id)
    assert decision["agent"] == "unidentified"
    assert world.received() == []


@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_missing_key_brings_no_credential_in_observe_mode(world: World, style: str) -> None:
    """The call goes on as it came, and the provider says what it says to anybody (I6)."""
    url = world.openai if style == "proxy" else world.base(Mode.OBSERVE, "openai")
    options = through(world, Mode.OBSERVE, "") if style == "proxy" else ()
    said = curl(world, Mode.OBSERVE, *options, f"{url}/v1/models")
    assert (said.status, said.decision) == (401, "would_deny")
    (received,) = world.received()
    assert received.credential == b""
    assert not [secret for secret in SECRETS if secret.encode() in repr(received).encode()]


def test_where_identity_is_required_a_missing_key_is_a_407(world: World) -> None:
    """Required identity refuses in observe mode too, with the challenge that clients wait for."""
    required = ("--set", "interlock_require_identity=true")
    with world.door(Mode.OBSERVE, *required, reverse=()) as door:
        url = f"{world.openai}/v1/models"
        said = curl(world, Mode.OBSERVE, "--proxy", door.proxy(), url)
        assert (said.exit, said.connect) == (TUNNEL_REFUSED, 407)
        assert world.received() == []
        asked = door.proxy(TRUSTED, world.keys[TRUSTED])
        said = curl(world, Mode.OBSERVE, "--proxy-anyauth", "--proxy", asked, url)
        assert (said.connect, said.status) == (200, 200)
    world.carried(OPENAI_KEY)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "framing",
    [
        pytest.param("Expect: 100-continue", id="waiting for 100 Continue"),
        pytest.param("Transfer-Encoding: chunked", id="of unknown length"),
    ],
)
def test_a_large_body_arrives_whole(
    world: World, tmp_path: Path, framing: str, version: str
) -> None:
    """Two megabytes, framed the way curl frames them, are judged and passed on unchanged."""
    content = b"0123456789abcdef" * 131_072
    (tmp_path / "body").write_bytes(content)
    sent = ("--data-binary", f"@{tmp_path / 'body'}", "-H", framing)
    proxy = through(world, Mode.OBSERVE)
    said = curl(world, Mode.OBSERVE, *sent, *proxy, f"{world.openai}/echo", version=version)
    assert said.status == 200
    assert world.carried(OPENAI_KEY).body == content


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_body_cannot_smuggle_a_request(
    world: World, mode: Mode, style: str, version: str
) -> None:
    """What was judged as a body is read as a body: its bytes never become a call of their own.

    An HTTP/2 body needs no length. Passed on to HTTP/1.1 without one, its bytes are the next
    request: ungoverned and unrecorded.
    """
    host = world.openai.removeprefix("https://")
    smuggled = f"DELETE /v1/files/f1 HTTP/1.1\r\nHost: {host}\r\n\r\n"
    options = ["-X", "GET", "-H", "Transfer-Encoding: chunked", "--data-binary", smuggled]
    if style == "proxy":
        options += [*through(world, mode), f"{world.openai}/v1/models"]
    else:
        options += ["-H", f"Authorization: Bearer {world.keys[TRUSTED]}"]
        options += [f"{world.base(mode, 'openai')}/v1/models"]
    said = curl(world, mode, *options, version=version)
    assert (said.status, said.decision) == (200, "allow")
    assert [(one.method, one.body.decode()) for one in world.received()] == [("GET", smuggled)]
