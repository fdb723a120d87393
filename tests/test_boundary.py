"""What the boundary keeps of a call ends with it, however it ended."""

import time
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import pytest
from mitmproxy import http, options
from mitmproxy.addons import proxyserver
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.test import taddons, tflow

from addons import writing
from addons.door import Caller, Door, Proven
from addons.gate import Gate
from addons.inject import BoundaryLayer
from tests.custody.stage import staged

CONNECT = b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"
POST = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.example"),
    (b":path", b"/v1/chat/completions"),
]


@pytest.fixture
def opts() -> Iterator[options.Options]:
    """mitmproxy's options, with a limit that is soon reached."""
    with pytest.MonkeyPatch.context() as patch, taddons.context(proxyserver.Proxyserver()) as made:
        patch.setattr(Http1Server, "send", writing.send)
        made.options.body_size_limit = "1k"
        yield made.options


class Agent:
    """The side of an agent that every hook refuses."""

    def __init__(self, opts: options.Options, alpn: bytes, mode: HTTPMode) -> None:
        client = tflow.tclient_conn()
        client.alpn = alpn
        known = context.Context(client, opts)
        known.server.address = ("api.example", 443)
        self.layer = HttpLayer(known, mode)
        BoundaryLayer.guard(self.layer, Door())
        self.client = client
        self.sent = b""
        self.do(events.Start())

    def says(self, data: bytes) -> None:
        """Say something to the boundary."""
        self.do(events.DataReceived(self.client, data))

    def do(self, event: events.Event) -> None:
        """Handle an event and the ends of its hooks."""
        for command in list(self.layer.handle_event(event)):
            if isinstance(command, commands.SendData):
                self.sent += command.data
            elif isinstance(command, commands.StartHook):
                (flow,) = command.args()
                if command.name in ("http_connect", "request"):
                    flow.response = http.Response.make(403, b"no")
                if command.blocking:
                    self.do(events.HookCompleted(command))


def test_a_tunnel_that_was_refused_is_not_kept(opts: options.Options) -> None:
    """Whoever proves nothing could fill the memory with them, seven KB each."""
    agent = Agent(opts, b"http/1.1", HTTPMode.regular)
    for _ in range(5):
        agent.says(CONNECT)
    assert agent.sent.count(b"403 Forbidden") == 5
    assert agent.layer.streams == {}


@pytest.mark.parametrize(
    ("more", "body"),
    [
        pytest.param([], b"", id="refused by a hook"),
        pytest.param([(b"content-length", b"+0")], b"", id="a length that is none"),
        pytest.param([(b"content-length", b"2000")], b"x" * 2000, id="too large, as it says"),
        pytest.param([], b"x" * 2000, id="too large, as it turns out"),
    ],
)
def test_a_call_that_was_refused_is_not_kept(
    opts: options.Options, more: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Nor where its connection goes on, as over HTTP/2."""
    agent = Agent(opts, b"h2", HTTPMode.transparent)
    config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
    talk = h2.connection.H2Connection(config)
    talk.initiate_connection()
    for stream in range(1, 11, 2):
        talk.send_headers(stream, [*POST, *more], end_stream=not body)
        if body:
            talk.send_data(stream, body, end_stream=True)
        agent.says(talk.data_to_send())
    assert agent.layer.streams == {}


@pytest.mark.parametrize("is_gone", [False, True], ids=["there", "gone"])
async def test_for_an_agent_that_went_while_its_call_was_decided_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """What its connection may dial is forgotten with it, and was then remembered for good."""
    door = Door()
    flow = tflow.tflow(req=http.Request.make("GET", "https://api.openai.com/v1/models"))
    flow.client_conn.sni = "api.openai.com"
    flow.client_conn.timestamp_end = None
    async with staged("local", tmp_path) as stage:
        agent = stage.door.registry.get("research-agent")
        monkeypatch.setattr("addons.gate.prove_again", lambda *_: agent)
        door.governor = stage.governor
        proven = Proven(agent, 0, 0.0)
        door.callers[flow.id] = Caller(None, proven, agent.name, {}, "", foreign_key=False)
        deciding = Gate(door).request(flow)
        assert deciding
        if is_gone:
            flow.client_conn.timestamp_end = time.time()
        await deciding
    assert not flow.response
    assert door.clearances
    assert bool(door.dialable) is not is_gone
