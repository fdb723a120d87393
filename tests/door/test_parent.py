"""Behind a parent proxy: it gets CONNECTs and TLS, and never a credential."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Upstream
from interlock.model import Authority, Binding, Mode
from tests.door.parent_proxy import ParentProxy
from tests.door.test_rpc import SERVICE, Greeter
from tests.door.test_websocket import Realtime, conversation
from tests.door.world import BARE_ENVIRON, CHAT, OPENAI_KEY, SECRETS, TRUSTED, UNVERIFIED, World

PROOF = "proxy-user:proxy-PASSWORD-7d1c"
PROOF_SENT = b"Basic cHJveHktdXNlcjpwcm94eS1QQVNTV09SRC03ZDFj"


@pytest.fixture(scope="module")
def _parent() -> Iterator[ParentProxy]:
    with ParentProxy() as parent:
        yield parent


@pytest.fixture
def parent(_parent: ParentProxy) -> ParentProxy:
    """The parent, having seen nothing yet."""
    _parent.clear()
    return _parent


@pytest.fixture(scope="module", params=list(Mode), ids=str)
def behind(
    request: pytest.FixtureRequest, _world: World, _parent: ParentProxy
) -> Iterator[FrontDoor]:
    """A front door of each mode behind it: mitmdump observes, our own program enforces."""
    mode: Mode = request.param
    _world.change(lambda i: i.set_secret("parent-proxy", Secret(PROOF), []))
    with _world.either(
        mode,
        *("--set", "interlock_parent_secret=parent-proxy"),
        *("-w", str(_world.folder / f"flows-{mode}")),
        reverse=(),
        modes=(f"upstream:http://127.0.0.1:{_parent.port}",),
    ) as door:
        yield door


@pytest.fixture(scope="module")
def _over_tls(_world: World) -> Iterator[tuple[FrontDoor, ParentProxy]]:
    """A parent that speaks TLS, and a front door behind it."""
    with ParentProxy(_world.certificates) as parent:
        _world.change(lambda i: i.set_secret("parent-proxy", Secret(PROOF), []))
        with _world.either(
            Mode.ENFORCE,
            *("--set", "interlock_parent_secret=parent-proxy"),
            reverse=(),
            modes=(f"upstream:https://localhost:{parent.port}",),
        ) as door:
            yield door, parent


@pytest.fixture
def over_tls(_over_tls: tuple[FrontDoor, ParentProxy]) -> tuple[FrontDoor, ParentProxy]:
    """Both, the parent having seen nothing yet."""
    _over_tls[1].clear()
    return _over_tls


def client(world: World, door: FrontDoor, agent: str = TRUSTED) -> httpx.Client:
    """An agent's client through the listener that has the parent."""
    proxy = f"http://{agent}:{world.keys[agent]}@127.0.0.1:{door.ports[1]}"
    return httpx.Client(proxy=proxy, verify=world.trust(Mode.OBSERVE), trust_env=False, timeout=20)


def test_the_key_goes_through_it_unseen(
    world: World, parent: ParentProxy, behind: FrontDoor
) -> None:
    """The upstream gets the key; the parent one CONNECT for two calls, and ciphertext."""
    with client(world, behind) as agent:
        first = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        world.carried(OPENAI_KEY)
        assert agent.post(f"{world.openai}/v1/chat/completions", json=CHAT).status_code == 200
    assert first.status_code == 200
    (asked,) = parent.asked
    target = f"localhost:{world.upstream.port}"
    assert asked.startswith(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode())
    assert asked.count(b"\r\n") == 4
    assert PROOF_SENT in asked
    hidden = (*SECRETS, *world.keys.values(), "v4.public.", "hello")
    assert [one for one in hidden if one.encode() in parent.seen] == []
    outcome = world.outcome(first.headers["interlock-decision-id"])
    assert outcome["dialled"] == f"via 127.0.0.1:{parent.port}"
    assert outcome["certificate"]


def test_what_proves_us_to_the_parent_is_in_no_flow_and_no_log(
    world: World, parent: ParentProxy, behind: FrontDoor
) -> None:
    """Nor does an agent read it when the parent says it back in a refusal."""
    parent.refusal = b"HTTP/1.1 407 No " + PROOF_SENT + b"\r\nContent-Length: 0\r\n\r\n"
    with client(world, behind) as agent:
        answer = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 502
    assert "the parent proxy answered 407" in answer.text
    assert PROOF_SENT in parent.seen
    told = [answer.text, behind.log, *(str(row) for row in world.rows("outcome"))]
    written = [path.read_bytes() for path in Path(world.folder).glob("flows-*")]
    for proof in (PROOF, PROOF_SENT.decode().split()[1], PROOF.split(":")[1]):
        assert not any(proof in one for one in told)
        assert not any(proof.encode() in one for one in written)
    assert world.received() == []


def test_a_parent_that_leads_elsewhere_gets_nothing(
    world: World, parent: ParentProxy, behind: FrontDoor, tmp_path: Path
) -> None:
    """The certificate is verified inside the tunnel, for the host that was judged."""
    other = Certificates.create(tmp_path, "localhost")
    with Upstream(other, keys={}) as elsewhere:
        parent.leads_to = ("127.0.0.1", elsewhere.port)
        with client(world, behind) as agent:
            answer = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        assert answer.status_code == 502
        assert elsewhere.received == []
    assert world.received() == []
    assert not any(secret.encode() in parent.seen for secret in SECRETS)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://localhost:{port}/v1/models", id="plain HTTP, which it would read"),
        pytest.param("https://169.254.169.254/latest/", id="a metadata address"),
        pytest.param("https://10.1.2.3/", id="a private address"),
        pytest.param("https://api.localhost/", id="a name of this machine"),
        pytest.param("http://127.0.0.1:{parent}/", id="the parent itself"),
    ],
)
def test_it_is_not_asked_for(
    world: World, parent: ParentProxy, behind: FrontDoor, url: str
) -> None:
    """Refused here in both modes: the parent hears nothing."""
    where = url.format(port=world.upstream.port, parent=parent.port)
    with client(world, behind) as agent:
        answer = agent.get(where)
    assert answer.status_code in (403, 502), answer.text
    assert parent.asked == []
    assert world.received() == []


def test_a_parent_that_speaks_tls(world: World, over_tls: tuple[FrontDoor, ParentProxy]) -> None:
    """TLS in TLS: our proof is in the outer one, the key in the inner one alone."""
    door, parent = over_tls
    with client(world, door) as agent:
        answer = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200, answer.text
    world.carried(OPENAI_KEY)
    (asked,) = parent.asked
    assert PROOF_SENT in asked
    hidden = (*SECRETS, *world.keys.values(), "v4.public.", "hello")
    assert [one for one in hidden if one.encode() in parent.seen] == []


def test_a_parent_that_is_another_one_gets_no_proof(
    world: World, over_tls: tuple[FrontDoor, ParentProxy], tmp_path: Path
) -> None:
    """The parent's certificate is verified before it is told anything."""
    door, parent = over_tls
    kept = parent._context
    parent._context = ParentProxy(Certificates.create(tmp_path, "localhost"))._context
    try:
        with client(world, door) as agent:
            answer = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    finally:
        parent._context = kept
    assert answer.status_code == 502
    assert (parent.asked, parent.seen) == ([], b"")


def test_a_websocket_goes_through_it(world: World, parent: ParentProxy, behind: FrontDoor) -> None:
    """Handshake and messages, and the parent reads none of it."""
    with Realtime(world) as upstream:
        at = Authority("localhost", upstream.port)
        world.also_bind(Binding("openai-api-key", at, "bearer", service="openai"))
        with conversation(
            f"wss://localhost:{upstream.port}/v1/realtime?model=leaks",
            ssl=world.trust(Mode.OBSERVE),
            proxy=f"http://{TRUSTED}:{world.keys[TRUSTED]}@127.0.0.1:{behind.ports[1]}",
            close_timeout=1,
        ) as agent:
            assert agent.recv(20) == "text " + "*" * len(OPENAI_KEY)
    assert len(parent.asked) == 1
    assert OPENAI_KEY.encode() not in parent.seen


def test_grpc_goes_through_it(
    world: World, parent: ParentProxy, behind: FrontDoor, tmp_path: Path
) -> None:
    """Over HTTP/2 inside the tunnel where it is permitted, else nobody hears of it."""
    (tmp_path / "said").write_bytes(b"\0\0\0\0\x03Ada")
    proxy = f"http://{TRUSTED}:{world.keys[TRUSTED]}@127.0.0.1:{behind.ports[1]}"
    words = ["-q", "-sS", "--http2", "--max-time", "20", "--proxy", proxy, "--cacert", behind.ca]
    words += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-D", tmp_path / "head"]
    words += ["--data-binary", f"@{tmp_path / 'said'}"]
    with Greeter(world) as upstream:
        world.also_bind(Binding("openai-api-key", Authority("localhost", upstream.port), "bearer"))
        url = f"https://localhost:{upstream.port}/{SERVICE}/Unary"
        done = subprocess.run(
            ["curl", *map(str, words), url], capture_output=True, env=BARE_ENVIRON, check=False
        )
    head = (tmp_path / "head").read_text()
    assert "HTTP/2 200" in head, done
    if not behind.log.count("observe mode"):
        assert "grpc-status: 7" in head
        assert parent.asked == []
        return
    assert done.stdout == b"\0\0\0\0\x09hello Ada"
    assert upstream.heard == [b"Ada"]
    assert b"Ada" not in parent.seen


def test_a_denied_call_reaches_neither(
    world: World, parent: ParentProxy, behind: FrontDoor
) -> None:
    """Nobody hears of it, not even its host."""
    with client(world, behind, UNVERIFIED) as agent:
        answer = agent.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    if behind.log.count("observe mode"):
        assert answer.headers["interlock-decision"] == "would_deny"
        return
    assert answer.status_code == 403
    assert parent.asked == []
    assert world.received() == []
