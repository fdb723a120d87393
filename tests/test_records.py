"""What is said in one go leaves in one record of TLS, whole and in its order."""

import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Paused
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.tunnel import TunnelState
from mitmproxy.test import taddons, tflow
from OpenSSL import SSL

from addons import openssl, records
from addons.openssl import RECORD_BYTES
from addons.records import PIECE_BYTES
from interlock.demo.certificates import Certificates

APPLICATION_DATA = 23  # RFC 8446, 5.1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One for the end that serves."""
    return Certificates.create(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def context() -> Iterator[Context]:
    """A client, a server, and mitmproxy's options."""
    with taddons.context() as known:
        made = Context(tflow.tclient_conn(), known.options)
        made.server = tflow.tserver_conn()
        yield made


class Wire:
    """A TLS layer of mitmproxy's whose child says what it is told to, and its peer."""

    def __init__(self, context: Context, certificates: Certificates) -> None:
        made: Any = tls.ServerTLSLayer(context)
        made.conn.alpn = b"http/1.1"
        made.tls, self.peer = _connected(certificates)
        made.tunnel_state = TunnelState.OPEN
        made.child_layer = self
        made.tls_interact = partial(records.interact, made)
        self.layer, self.conn = made, made.conn
        self._script: list[commands.Command] = []
        self._heard: list[bytes] = []

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        """The child."""
        if isinstance(event, events.DataReceived):
            self._heard.append(event.data)
        elif isinstance(event, events.ConnectionClosed):
            self._heard.append(b"closed")
        yield from self._script

    def say(self, *script: commands.Command | bytes) -> list[commands.Command]:
        """What comes of these commands, of which bytes are data for the connection."""
        self._script = [
            commands.SendData(self.conn, one) if isinstance(one, bytes) else one for one in script
        ]
        return list(records.event_to_child(self.layer, events.Start()))

    def peered(self, text: bytes) -> bytes:
        """What the peer says, as it comes."""
        self.peer.sendall(text)
        return bytes(self.peer.bio_read(1 << 16))

    def heard(self, data: bytes) -> list[bytes]:
        """What the child hears of what the peer sent."""
        self._script, self._heard = [], []
        assert not list(records.receive_data(self.layer, data))
        return self._heard

    def heard_of_the_end(self) -> list[bytes]:
        """What it hears when the connection is closed."""
        self._script, self._heard = [], []
        list(self.layer.receive_close())
        return self._heard

    def read(self, said: list[commands.Command]) -> tuple[int, bytes]:
        """How many records there are, and what the peer reads out of them."""
        sent = b"".join(one.data for one in said if isinstance(one, commands.SendData))
        self.peer.bio_write(sent)
        count, text = 0, b""
        while sent:
            kind, _, length = struct.unpack("!BHH", sent[:5])
            assert kind == APPLICATION_DATA
            count, sent = count + 1, sent[5 + length :]
            text += self.peer.recv(RECORD_BYTES)
        return count, text


def _connected(certificates: Certificates) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a connection in memory, after the handshake."""
    trust, serve = SSL.Context(SSL.TLS_CLIENT_METHOD), SSL.Context(SSL.TLS_SERVER_METHOD)
    serve.use_certificate_chain_file(str(certificates.chain))
    serve.use_privatekey_file(str(certificates.key))
    ours, peer = SSL.Connection(trust), SSL.Connection(serve)
    ours.set_connect_state()
    peer.set_accept_state()
    for one, other in [(ours, peer), (peer, ours)] * 3:
        for step in (one.do_handshake, lambda one=one: one.recv(1)):
            with suppress(SSL.WantReadError):
                step()
        with suppress(SSL.WantReadError):
            other.bio_write(one.bio_read(1 << 16))
    return ours, peer


@pytest.fixture
def wire(context: Context, certificates: Certificates) -> Wire:
    """An open connection."""
    return Wire(context, certificates)


def test_a_head_and_a_body_are_one_record(wire: Wire) -> None:
    """They are said one after the other."""
    assert wire.read(wire.say(b"head", b"body")) == (1, b"headbody")
    assert wire.read(wire.say(b"more")) == (1, b"more")


def test_what_comes_while_a_tunnel_waits_is_kept(wire: Wire) -> None:
    """It may be of what the tunnel waits for."""
    record, other = wire.peered(b"hello"), events.Wakeup(commands.RequestWakeup(1.0))
    came = events.DataReceived(wire.conn, record)
    waits: Any = Paused(commands.OpenConnection(wire.conn), iter(()))  # type: ignore[arg-type]
    wire.layer._paused = waits
    for event in (came, other):
        assert not list(records.handle_event(wire.layer, event))
    assert list(wire.layer._paused_event_queue) == [came, other]
    wire.layer._paused = None
    assert not list(records.handle_event(wire.layer, came))
    assert wire._heard == [b"hello"]


def test_what_came_before_it_was_known_to_be_tls_is_heard(wire: Wire, context: Context) -> None:
    """Also the beginning of a record alone."""
    wire.layer.handle_event = partial(records.handle_event, wire.layer)
    wire.layer.receive_data = partial(records.receive_data, wire.layer)
    top, record = layer.NextLayer(context), wire.peered(b"hello")
    came = [events.DataReceived(wire.conn, one) for one in (record[:9], record[9:12], record[12:])]
    (asked,) = top.handle_event(came[0])
    for event in came[1:]:
        assert not list(top.handle_event(event))
    top.layer = wire.layer
    completed: Any = events.HookCompleted(asked)
    assert not list(top.handle_event(completed))
    assert wire._heard == [b"hello"]


def test_what_is_said_to_one_thread_is_not_heard_in_another(certificates: Certificates) -> None:
    """Each has room of its own to read into."""

    def hear(letter: bytes) -> bool:
        said = letter * RECORD_BYTES
        ours, peer = _connected(certificates)
        for _ in range(1_500):
            peer.sendall(said)
            if openssl.take(ours, peer.bio_read(2 * RECORD_BYTES)) != (said, None, b""):
                return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(hear, (b"a", b"b", b"c", b"d")))
    finally:
        sys.setswitchinterval(interval)


def test_nothing_is_said_behind_a_command(wire: Wire) -> None:
    """What comes before it is sent before it, so that a close loses nothing."""
    log, close = commands.Log("x"), commands.CloseConnection(wire.conn)
    said = wire.say(b"a", log, b"b", b"c", close)
    assert [type(one).__name__ for one in said[:3]] == ["SendData", "Log", "SendData"]
    assert isinstance(said[-1], commands.CloseConnection)
    assert wire.read(said[:3])[1] == b"abc"


def test_what_is_large_is_not_copied(wire: Wire) -> None:
    """And keeps its place."""
    large = b"x" * (3 * RECORD_BYTES)
    assert wire.read(wire.say(b"head", large, b"end")) == (5, b"head" + large + b"end")


@pytest.mark.parametrize("end", [RstStreamFrame(1, error_code=8), GoAwayFrame(0)])
def test_the_early_end_of_a_stream_of_http2_leaves_by_itself(wire: Wire, end: Frame) -> None:
    """A peer that reads an answer and a reset at once may see the reset only."""
    wire.conn.alpn = b"h2"
    head, body = (
        HeadersFrame(1, b"head").serialize(),
        DataFrame(1, b"\x00\x00\x00\x03" * 9).serialize(),
    )
    assert wire.read(wire.say(head, body)) == (1, head + body)
    for last in (end.serialize(), body + end.serialize()):
        assert wire.read(wire.say(head, body, last)) == (2, head + body + last)


def test_a_long_body_leaves_piece_by_piece(wire: Wire) -> None:
    """OpenSSL never has more of it in its buffers, which would stay as large."""
    body = bytes(range(256)) * (1 << 12)
    said = list(records.send_data(wire.layer, body))
    assert len(said) == len(body) // PIECE_BYTES
    assert wire.read(said)[1] == body


def test_what_comes_together_is_heard_together(wire: Wire) -> None:
    """However many records it is in, and wherever it was cut."""
    for text in (b"a" * 40_000, b"b"):
        wire.peer.sendall(text)
    sent = wire.peer.bio_read(PIECE_BYTES)
    assert wire.heard(sent[:30_000]) == [b"a" * RECORD_BYTES]
    assert wire.heard(sent[30_000:]) == [b"a" * (40_000 - RECORD_BYTES) + b"b"]
    assert wire.heard(b"") == []


def test_a_farewell_is_heard_after_what_was_said_before(wire: Wire) -> None:
    """Both came at once."""
    wire.peer.sendall(b"last words")
    wire.peer.shutdown()
    assert wire.heard(wire.peer.bio_read(PIECE_BYTES)) == [b"last words", b"closed"]


def test_what_is_no_tls_is_logged(wire: Wire) -> None:
    """It is heard by nobody."""
    log, *alert = records.receive_data(wire.layer, b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert isinstance(log, commands.Log)
    assert log.message.startswith("TLS Error")
    assert [type(one) for one in alert] == [commands.SendData]


def test_an_alert_is_no_farewell(wire: Wire) -> None:
    """After a farewell mitmproxy tells nobody that the connection is closed; a call would wait."""
    wire.peer.bio_write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with suppress(SSL.Error):
        wire.peer.recv(1)
    log, *_ = records.receive_data(wire.layer, wire.peer.bio_read(PIECE_BYTES))
    assert isinstance(log, commands.Log)
    assert wire.heard_of_the_end() == [b"closed"]
