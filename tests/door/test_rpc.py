"""gRPC with its own client and server: governed at the head of a call, live in both directions."""

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Authority, Binding, Mode, Trust
from tests.door.patience import PATIENT_S, wait_for
from tests.door.raw import bound
from tests.door.world import DEFAULT_POLICIES, OPENAI_KEY, TRUSTED, WRONG_KEY, World

STARS = b"*" * len(OPENAI_KEY)
SERVICE = "test.Greeter"
MAY_CALL = """
@id("trusted-agents-greet")
permit (principal is Agent, action == Action::"call_method", resource is Endpoint)
when { principal.trust == "trusted" && context.path like "/test.Greeter/*" };
@id("nobody-forgets")
forbid (principal, action, resource) when { context.path == "/test.Greeter/Forbidden" };
"""
NARROW = ("--set", "interlock_message_bytes=65536", "--set", "interlock_message_rate=50")


class Greeter:
    """A server of raw bytes, with a method of each kind, that tells all it knows."""

    def __init__(self, world: World) -> None:
        pair = (world.certificates.key.read_bytes(), world.certificates.chain.read_bytes())
        self._credentials = grpc.ssl_server_credentials([pair])
        self.heard: list[bytes] = []
        self.metadata: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Forbidden": grpc.unary_unary_rpc_method_handler(self._unary),
            "Stream": grpc.unary_stream_rpc_method_handler(self._stream),
            "Upload": grpc.stream_unary_rpc_method_handler(self._upload),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "Leak": grpc.unary_stream_rpc_method_handler(self._leak),
            "Ticks": grpc.unary_stream_rpc_method_handler(self._ticks),
        }
        handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_secure_port(f"127.0.0.1:{free_ports(1)[0]}", self._credentials)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait(10)

    def clear(self) -> None:
        """Forget what was heard."""
        self.heard.clear()
        self.metadata.clear()

    def _note(self, context: grpc.ServicerContext, *messages: bytes) -> str:
        self.heard.extend(messages)
        self.metadata.append(dict(context.invocation_metadata()))
        context.set_trailing_metadata((("x-trailer", "at the end"),))
        return str(self.metadata[-1].get("authorization", "")).removeprefix("Bearer ")

    def _unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context, message)
        return b"hello " + message

    def _stream(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context, message)
        yield from (b"%d" % number for number in range(5))

    def _upload(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._note(context, *messages)
        return b",".join(self.heard)

    def _chat(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for message in messages:
            self.heard.append(message)
            yield b"you said " + message

    def _leak(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        key = self._note(context, message).encode()
        context.send_initial_metadata((("x-echo", key.decode()),))
        yield key
        yield b"before " + key.hex().encode() + b" after"
        yield b"ends like it begins " + key[:9]
        context.set_trailing_metadata((("x-echo", key.decode()),))
        context.abort(grpc.StatusCode.INTERNAL, f"your key is {key.decode()}")

    def _ticks(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context, message)
        while context.is_active():
            yield OPENAI_KEY[:9].encode()  # what could be the beginning of the key
            time.sleep(0.05)


@pytest.fixture(scope="module")
def _greeter(_world: World) -> Iterator[Greeter]:
    with Greeter(_world) as upstream:
        authority = Authority("localhost", upstream.port)
        _world.also_bind(Binding("openai-api-key", authority, "bearer"))
        yield upstream


@pytest.fixture
def greeter(_greeter: Greeter) -> Greeter:
    """The upstream, with nothing heard yet."""
    _greeter.clear()
    return _greeter


@pytest.fixture(scope="module")
def door(
    _world: World, _greeter: Greeter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    """A front door that enforces, with narrow limits, and a base URL for that server."""
    policies = tmp_path_factory.mktemp("policies")
    (policies / "default.cedar").write_text(DEFAULT_POLICIES.read_text() + MAY_CALL)
    words = (*NARROW, "--set", f"interlock_policies={policies}")
    with _world.door(
        Mode.ENFORCE, *words, reverse=(f"https://localhost:{_greeter.port}",)
    ) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of grpcio, and what each of its calls has to bring along."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, kind: str, method: str, said: Any, timeout: float = 30) -> Any:
        """Make a call of a kind, such as `unary_stream`."""
        made = getattr(self.channel, kind)(f"/{SERVICE}/{method}")
        return made(said, timeout=timeout, metadata=self.metadata)


def channel(
    door: FrontDoor, port: int, style: str = "proxy", agent: str = TRUSTED, key: str = ""
) -> Channel:
    """Open a channel as an agent would that knows the authority of the door alone."""
    trust = grpc.ssl_channel_credentials(Path(door.ca).read_bytes())
    if style == "proxy":
        options = [("grpc.http_proxy", door.proxy(agent, key))]
        return Channel(grpc.secure_channel(f"localhost:{port}", trust, options), ())
    options = [("grpc.enable_http_proxy", 0)]
    target = f"127.0.0.1:{door.ports[1]}"
    own = (("authorization", f"Bearer {key}"),)
    return Channel(grpc.secure_channel(target, trust, options), own)


@pytest.fixture(params=["proxy", "base URL"])
def agent(
    request: pytest.FixtureRequest, world: World, door: FrontDoor, greeter: Greeter
) -> Iterator[Channel]:
    """Both ways to the door."""
    key = world.keys[TRUSTED]
    with channel(door, greeter.port, str(request.param), key=key) as opened:
        yield opened


def test_every_kind_of_call_works_unchanged(world: World, agent: Channel, greeter: Greeter) -> None:
    """Unary, streams in either direction, and in both at once; trailers come through."""
    assert agent.call("unary_unary", "Unary", b"ada") == b"hello ada"
    streamed = agent.call("unary_stream", "Stream", b"go")
    assert list(streamed) == [b"0", b"1", b"2", b"3", b"4"]
    assert ("x-trailer", "at the end") in streamed.trailing_metadata()
    greeter.heard.clear()
    assert agent.call("stream_unary", "Upload", iter([b"a", b"b", b"c"])) == b"a,b,c"
    for sent in greeter.metadata:
        assert sent["authorization"] == f"Bearer {OPENAI_KEY}"
        assert not any(world.keys[TRUSTED] in str(value) for value in sent.values())


def test_both_sides_speak_in_turn(agent: Channel) -> None:
    """Nothing waits for the end of what the other side says."""
    answered, turns = threading.Semaphore(1), 5

    def say() -> Iterator[bytes]:
        for number in range(turns):
            assert answered.acquire(timeout=20)
            yield b"%d" % number

    heard = []
    for answer in agent.call("stream_stream", "Chat", say()):
        heard.append(answer)
        answered.release()
    assert heard == [b"you said %d" % number for number in range(turns)]


def test_the_call_is_recorded(world: World, door: FrontDoor, greeter: Greeter) -> None:
    """Its action is `call_method`, its path the method; the outcome counts messages."""
    with channel(door, greeter.port, key=world.keys[TRUSTED]) as agent:
        streamed = agent.call("unary_stream", "Stream", b"go")
        list(streamed)
        (decision_id,) = [v for n, v in streamed.initial_metadata() if n == "interlock-decision-id"]
    body = world.events(decision_id)[0]["body"]
    assert (body["action"], body["path"]) == ("call_method", "/test.Greeter/Stream")
    outcome = world.outcome(decision_id)
    assert (outcome["status"], outcome["error"], outcome["redeemed"]) == (200, "", True)
    assert (outcome["messages_up"], outcome["messages_down"]) == (1, 5)


def test_observe_mode_lets_a_call_go_on(world: World, greeter: Greeter) -> None:
    """What no policy permits is only told."""
    observing = world.doors[Mode.OBSERVE]
    with channel(observing, greeter.port, key=world.keys[TRUSTED]) as agent:
        streamed = agent.call("unary_stream", "Stream", b"go")
        assert len(list(streamed)) == 5
    assert ("interlock-decision", "would_deny") in streamed.initial_metadata()


def test_no_message_and_no_metadata_brings_the_key_back(agent: Channel) -> None:
    """Masked at the head, in messages, in trailers and in the text of the status."""
    streamed = agent.call("unary_stream", "Leak", b"please")
    heard = [next(streamed) for _ in range(3)]
    assert heard == [
        STARS,
        b"before " + STARS * 2 + b" after",
        b"ends like it begins " + OPENAI_KEY[:9].encode(),
    ]
    with pytest.raises(grpc.RpcError):
        next(streamed)
    assert ("x-echo", STARS.decode()) in streamed.initial_metadata()
    assert ("x-echo", STARS.decode()) in streamed.trailing_metadata()
    assert streamed.details() == f"your key is {STARS.decode()}"


def test_a_message_does_not_wait_for_the_next(agent: Channel) -> None:
    """Not even one that ends as the key begins."""
    streamed = agent.call("unary_stream", "Ticks", b"go")
    assert next(streamed) == OPENAI_KEY[:9].encode()
    streamed.cancel()


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_a_denial_is_a_status_of_grpc(agent: Channel, greeter: Greeter, kind: str) -> None:
    """PERMISSION_DENIED at once, with the decision, before the agent has said all it has to say."""
    never = threading.Event()

    def endless() -> Iterator[bytes]:
        yield b"first"
        never.wait(20)

    said = b"x" if kind == "unary_unary" else endless()
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        list(agent.call(kind, "Forbidden", said))
    never.set()
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "nobody-forgets" in error.details()
    assert "dec_" in error.details()
    assert time.monotonic() - started < 15
    assert greeter.heard == []


def test_a_wrong_key_is_unauthenticated(door: FrontDoor, greeter: Greeter) -> None:
    """By the base URL; a proxy refuses the tunnel itself."""
    with (
        channel(door, greeter.port, "base URL", key=WRONG_KEY) as agent,
        pytest.raises(grpc.RpcError) as refused,
    ):
        agent.call("unary_unary", "Unary", b"x")
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert greeter.heard == []


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        pytest.param([b"x" * 65_537], "interlock_message_bytes", id="too large"),
        pytest.param([b"x"] * 5_000, "interlock_message_rate", id="too many"),
    ],
)
def test_a_limit_ends_the_call_and_is_named(
    agent: Channel, greeter: Greeter, said: list[bytes], limit: str
) -> None:
    """RESOURCE_EXHAUSTED; what is over the limit is never heard."""
    with pytest.raises(grpc.RpcError) as refused:
        agent.call("stream_unary", "Upload", iter(said))
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert limit in error.details()
    assert not any(len(heard) > 65_536 for heard in greeter.heard)


def test_an_open_call_ends_when_its_agent_is_cut_off(
    world: World, door: FrontDoor, greeter: Greeter
) -> None:
    """It would run on for ever."""
    name = world.join()
    with channel(door, greeter.port, agent=name, key=world.keys[name]) as agent:
        streamed = agent.call("unary_stream", "Ticks", b"go")
        next(streamed)
        world.change(lambda i: i.registry.set_trust(name, Trust.QUARANTINED))
        deadline = time.monotonic() + PATIENT_S
        with suppress(grpc.RpcError):
            for _ in streamed:
                assert time.monotonic() < deadline, "the call goes on"


def test_a_planted_key_in_a_message_is_an_alarm(
    world: World, door: FrontDoor, greeter: Greeter
) -> None:
    """The server never hears it, and the agent is cut off."""
    name, bait = world.join(), world.fresh("sk-bait-abcdef")
    with (
        world.planted(bait, name),
        channel(door, greeter.port, agent=name, key=world.keys[name]) as agent,
        pytest.raises(grpc.RpcError),
    ):
        agent.call("unary_unary", "Unary", f"my key is {bait}".encode())
    wait_for(lambda: world.change(lambda i: i.registry.get(name)).trust is Trust.QUARANTINED)
    assert greeter.heard == []


def test_an_upstream_without_http2_gets_no_call(world: World, door: FrontDoor) -> None:
    """Over HTTP/1.1 a body without a length would be read as the next request."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with (
        bound(world, answer) as upstream,
        channel(door, upstream.port, key=world.keys[TRUSTED]) as agent,
        pytest.raises(grpc.RpcError) as refused,
    ):
        agent.call("unary_unary", "Unary", b"x")
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "HTTP/2" in error.details()
    assert upstream.heads == []
