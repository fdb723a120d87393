"""WebSockets: the handshake is governed like a call, every message relayed within limits."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from mitmproxy.websocket import WebSocketMessage
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve
from wsproto.frame_protocol import Opcode

from addons.honeytokens import forget
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Authority, Binding, Declaration, Mode, Trust
from interlock.store.goals import Goal, Status
from tests.door.patience import PATIENT_S, wait_for
from tests.door.raw import bound, tunnelled
from tests.door.world import OPENAI_KEY, TRUSTED, UNVERIFIED, World

STARS = "*" * len(OPENAI_KEY)
NARROW = ("--set", "interlock_message_bytes=65536", "--set", "interlock_message_rate=50")


class Realtime:
    """A provider of realtime conversations; the model that is asked for says what it does."""

    def __init__(self, world: World) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(world.certificates.chain, world.certificates.key)
        self.heard: list[str | bytes] = []
        self.handshakes: list[list[tuple[str, str]]] = []

    def __enter__(self) -> Self:
        self._server: Server = serve(
            self._converse,
            "127.0.0.1",
            *free_ports(1),
            ssl=self._context,
            max_size=None,
            ping_interval=None,
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(5)

    def clear(self) -> None:
        """Forget what was heard."""
        self.heard.clear()
        self.handshakes.clear()

    def _converse(self, agent: ServerConnection) -> None:
        assert agent.request
        self.handshakes.append(list(agent.request.headers.raw_items()))
        (model,) = parse_qs(urlsplit(agent.request.path).query)["model"]
        key = agent.request.headers.get("authorization", "").removeprefix("Bearer ")
        with suppress(ConnectionClosed):
            getattr(self, f"_{model}")(agent, key)

    def _echo(self, agent: ServerConnection, key: str) -> None:
        for message in agent:
            self.heard.append(message)
            agent.send(message)

    def _leaks(self, agent: ServerConnection, key: str) -> None:
        agent.send(f"text {key}")
        agent.send(b"binary " + key.encode())
        for cut in range(1, len(key)):
            agent.send(iter([key[:cut], key[cut:]]))
        agent.ping(key.encode())
        agent.close(1000, f"bye {key}")

    def _split(self, agent: ServerConnection, key: str) -> None:
        agent.send(key[:10])
        agent.ping(b"between")
        agent.send(key[10:])

    def _flood(self, agent: ServerConnection, key: str) -> None:
        agent.send(iter([b"x" * 4096] * 64))

    def _ticks(self, agent: ServerConnection, key: str) -> None:
        while True:
            agent.send("tick")
            time.sleep(0.02)


@pytest.fixture(scope="module")
def _realtime(_world: World) -> Iterator[Realtime]:
    with Realtime(_world) as upstream:
        authority = Authority("localhost", upstream.port)
        _world.also_bind(Binding("openai-api-key", authority, "bearer", service="openai"))
        yield upstream


@pytest.fixture
def realtime(_realtime: Realtime) -> Realtime:
    """The upstream, with nothing heard yet."""
    _realtime.clear()
    return _realtime


@pytest.fixture(scope="module")
def doors(_world: World, _realtime: Realtime) -> Iterator[dict[Mode, FrontDoor]]:
    """Front doors with a base URL for that provider and narrow limits, one for each mode."""
    reverse = (f"https://localhost:{_realtime.port}",)
    with (
        _world.door(Mode.OBSERVE, *NARROW, reverse=reverse) as observe,
        _world.door(Mode.ENFORCE, *NARROW, reverse=reverse) as enforce,
    ):
        yield {Mode.OBSERVE: observe, Mode.ENFORCE: enforce}


type Open = Callable[..., ClientConnection]


@pytest.fixture(params=["proxy", "base URL"])
def style(request: pytest.FixtureRequest) -> str:
    """Both ways to the door."""
    return str(request.param)


def opened(
    world: World,
    door: FrontDoor,
    realtime: Realtime,
    model: str,
    *,
    style: str = "proxy",
    agent: str = TRUSTED,
    key: str = "",
    **headers: str,
) -> ClientConnection:
    """Open a conversation as an agent would, knowing the authority of the door alone."""
    trust = ssl.create_default_context(cafile=door.ca)
    key = key or world.keys[agent]
    if style == "proxy":
        base, proxy = f"wss://localhost:{realtime.port}", door.proxy(agent, key)
    else:
        base, proxy = f"wss://127.0.0.1:{door.ports[1]}", None
        headers["Authorization"] = f"Bearer {key}"
    return conversation(
        f"{base}/v1/realtime?model={model}",
        ssl=trust,
        proxy=proxy,
        additional_headers=headers,
        max_size=None,
        ping_interval=None,
    )


def conversation(url: str, **more: Any) -> ClientConnection:
    """Open a conversation with the words of `connect`.

    This client reads and writes one SSL object in two threads, and once in some hundred times its
    handshake never leaves it: then it begins anew.
    """
    try:
        return connect(url, open_timeout=8, **more)
    except TimeoutError:
        return connect(url, open_timeout=30, **more)


def ended(world: World, agent: ClientConnection) -> dict[str, Any]:
    """The outcome of a conversation."""
    assert agent.response
    return world.outcome(agent.response.headers["interlock-decision-id"])


def test_a_conversation_goes_on_unchanged(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode, style: str
) -> None:
    """Text, binary, fragments and sizes of every kind; the key is in the handshake alone."""
    said = ["hello", b"\x00\xff" * 9, "", "\N{SNOWMAN}" * 300, b"b" * 60_000]
    with opened(world, doors[mode], realtime, "echo", style=style) as agent:
        for message in said:
            agent.send(message)
            assert agent.recv(20) == message
        agent.send(iter(["in ", "three ", "parts"]))
        assert agent.recv(20) == "in three parts"
        assert agent.ping(b"are you there").wait(20)
    (sent,) = realtime.handshakes
    carried = [value for _, value in sent if OPENAI_KEY in value]
    assert carried == [f"Bearer {OPENAI_KEY}"]
    assert not {"sec-websocket-extensions", "proxy-authorization"} & {n.lower() for n, _ in sent}
    assert not any(world.keys[TRUSTED] in value for _, value in sent)
    outcome = ended(world, agent)
    assert (outcome["status"], outcome["error"], outcome["redeemed"]) == (101, "", True)
    assert (outcome["messages_up"], outcome["messages_down"]) == (6, 6)
    assert outcome["bytes_up"] > 60_000
    assert outcome["bytes_down"] > 60_000


def test_a_key_among_the_subprotocols_proves_the_agent_and_stays_here(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode
) -> None:
    """Where browsers put it; the other subprotocols go on."""
    door = doors[mode]
    offered = ["echo-v1", f"openai-insecure-api-key.{world.keys[TRUSTED]}", "beta.v1"]
    with conversation(
        f"wss://127.0.0.1:{door.ports[1]}/v1/realtime?model=echo",
        ssl=ssl.create_default_context(cafile=door.ca),
        proxy=None,
        subprotocols=[Subprotocol(name) for name in offered],
    ) as agent:
        assert agent.response
        assert agent.response.headers["interlock-decision"] == "allow"
    (sent,) = realtime.handshakes
    assert [value for name, value in sent if name.lower() == "sec-websocket-protocol"] == [
        "echo-v1, beta.v1"
    ]
    assert not any(world.keys[TRUSTED] in value for _, value in sent)


def test_the_handshake_is_a_call(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode
) -> None:
    """Policy speaks of the action `connect`, and of the model that the query names."""
    with opened(world, doors[mode], realtime, "echo") as agent:
        assert agent.response
        assert agent.response.headers["interlock-decision"] == "allow"
        decision_id = agent.response.headers["interlock-decision-id"]
    body = world.events(decision_id)[0]["body"]
    assert (body["action"], body["resource"], body["model"]) == ("connect", 'Model::"echo"', "echo")


def test_no_message_brings_the_key_back(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode
) -> None:
    """In text, binary, cut over frames at every border, in a ping and in the reason of the end."""
    with opened(world, doors[mode], realtime, "leaks") as agent:
        assert agent.recv(20) == f"text {STARS}"
        assert agent.recv(20) == b"binary " + STARS.encode()
        for _ in range(1, len(OPENAI_KEY)):
            assert agent.recv(20) == STARS
        with pytest.raises(ConnectionClosed) as closed:
            agent.recv(20)
    assert closed.value.rcvd
    assert closed.value.rcvd.reason == f"bye {STARS}"
    assert ended(world, agent)["scrubbed"] > 40


def test_the_rest_of_a_key_that_is_cut_over_messages_is_masked(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime
) -> None:
    """Its beginning is through: a message cannot wait for the next one, nor for a ping between."""
    with opened(world, doors[Mode.ENFORCE], realtime, "split") as agent:
        assert agent.recv(20) == OPENAI_KEY[:10]
        assert agent.recv(20) == STARS[10:]


@pytest.mark.parametrize(
    ("model", "messages", "code", "limit"),
    [
        pytest.param("echo", [b"x" * 65_537], 1009, "interlock_message_bytes", id="too large"),
        pytest.param("flood", [], 1009, "interlock_message_bytes", id="too large an answer"),
        pytest.param("echo", ["x"] * 300, 1008, "interlock_message_rate", id="too many"),
    ],
)
def test_a_limit_ends_the_conversation_and_is_named(
    world: World,
    doors: dict[Mode, FrontDoor],
    realtime: Realtime,
    mode: Mode,
    model: str,
    messages: list[str | bytes],
    code: int,
    limit: str,
) -> None:
    """The agent reads it in the reason of the end, the operator in the ledger."""
    with (
        opened(world, doors[mode], realtime, model) as agent,
        pytest.raises(ConnectionClosed) as closed,
    ):
        _say_and_listen(agent, messages)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == code
    assert limit in closed.value.rcvd.reason
    assert limit in ended(world, agent)["error"]
    assert not any(len(heard) > 65_536 for heard in realtime.heard)
    assert len(realtime.heard) < 200


def _say_and_listen(agent: ClientConnection, messages: list[str | bytes]) -> None:
    with suppress(ConnectionClosed):
        for message in messages:
            agent.send(message)
    while True:
        agent.recv(20)


def test_who_may_not_connect_gets_403(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, style: str
) -> None:
    """Nobody hears of it."""
    with pytest.raises(InvalidStatus) as refused:
        opened(world, doors[Mode.ENFORCE], realtime, "echo", style=style, agent=UNVERIFIED).close()
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["interlock-decision"] == "deny"
    assert realtime.handshakes == []


def test_an_open_conversation_ends_when_its_agent_is_cut_off(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime
) -> None:
    """It would run on for ever."""
    name = world.join()
    with opened(world, doors[Mode.ENFORCE], realtime, "ticks", agent=name) as agent:
        assert agent.recv(20) == "tick"
        world.change(lambda i: i.registry.set_trust(name, Trust.QUARANTINED))
        _listen_until(agent, time.monotonic() + PATIENT_S)
    assert ended(world, agent)["error"]


def test_an_open_conversation_ends_with_its_session(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode
) -> None:
    """In both modes: what proves nobody any more opens nothing."""
    session, token = world.change(
        lambda i: i.start_session(TRUSTED, Declaration(), ttl=600, now=time.time())
    )
    with opened(world, doors[mode], realtime, "ticks", key=token) as agent:
        assert agent.recv(20) == "tick"
        world.change(lambda i: i.sessions.end(session.id, time.time()))
        _listen_until(agent, time.monotonic() + PATIENT_S)


def test_what_is_kept_of_a_conversation_is_bounded() -> None:
    """The last message always, more of them while they are few and small."""

    def said(*sizes: int) -> list[int]:
        messages = [WebSocketMessage(Opcode.BINARY, True, bytes(size)) for size in sizes]
        forget(messages)
        return [len(message.content) for message in messages]

    assert said(1, 2, 3) == [1, 2, 3]
    assert said(*range(20)) == list(range(4, 20))
    assert said(5, 2 << 20) == [2 << 20]
    assert said(5, 1 << 19, 1 << 19) == [1 << 19, 1 << 19]


def test_an_open_conversation_ends_with_its_goal(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime
) -> None:
    """Whoever pauses the goal, or whatever closes it, ends what runs for it."""
    goal = Goal(id=world.fresh("goal"), max_actions=1)
    world.change(lambda i: i.goals.add(goal))
    headers = {"Interlock-Goal": goal.id}
    with opened(world, doors[Mode.ENFORCE], realtime, "ticks", **headers) as agent:
        for _ in range(30):  # its one action is used up by this conversation, which goes on
            assert agent.recv(20) == "tick"
        world.change(lambda i: i.goals.set_status(goal.id, Status.PAUSED))
        _listen_until(agent, time.monotonic() + PATIENT_S)


def _listen_until(agent: ClientConnection, deadline: float) -> None:
    with suppress(ConnectionClosed):
        while True:
            agent.recv(20)
            assert time.monotonic() < deadline, "the conversation goes on"


def test_a_planted_key_in_a_message_is_an_alarm(
    world: World, doors: dict[Mode, FrontDoor], realtime: Realtime, mode: Mode
) -> None:
    """The server never hears it, and the agent is cut off, in both modes."""
    name, bait = world.join(), world.fresh("sk-bait-abcdef")
    with (
        world.planted(bait, name),
        opened(world, doors[mode], realtime, "echo", agent=name) as agent,
    ):
        agent.send("before")
        assert agent.recv(20) == "before"
        with pytest.raises(ConnectionClosed):
            _say_and_listen(agent, [f"my key is {bait}"])
    wait_for(lambda: world.change(lambda i: i.registry.get(name)).trust is Trust.QUARANTINED)
    assert realtime.heard == ["before"]


HANDSHAKE = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Upgrade: websocket\r\n", id="without a proof"),
        pytest.param(b"Upgrade: ssh\r\n" + ACCEPT, id="to another protocol"),
        pytest.param(
            b"Upgrade: websocket\r\n" + ACCEPT + b"Sec-WebSocket-Extensions: x-{key}\r\n",
            id="with an extension that nobody asked for",
        ),
    ],
)
def test_an_answer_that_opens_something_else_is_refused(
    world: World, mode: Mode, head: bytes
) -> None:
    """502, and no byte of it passes."""
    answer = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n" + head + b"\r\n\x81\x02ok{key}"
    with bound(world, answer) as upstream:
        got = tunnelled(world, mode, upstream.authority, *HANDSHAKE, path="/v1/realtime?model=m")
    assert got.startswith(b"HTTP/1.1 502")
    assert OPENAI_KEY.encode() not in got


def test_a_server_that_declines_is_heard(world: World, mode: Mode) -> None:
    """Its answer is an answer, scrubbed."""
    answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n{key}" % len(OPENAI_KEY)
    with bound(world, answer) as upstream:
        got = tunnelled(world, mode, upstream.authority, *HANDSHAKE, path="/v1/realtime?model=m")
    assert got.startswith(b"HTTP/1.1 401")
    assert got.endswith(STARS.encode())
