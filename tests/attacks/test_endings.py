"""Where an answer ends: ours to HEAD, and one that comes before its agent has said all."""

import socket
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from interlock.model import Mode
from tests.attacks.case import (
    ANSWER_S,
    BASE_URL,
    SILENCE_S,
    Setting,
    connect,
    open_at,
    read_answer,
    read_rest,
    secured,
)
from tests.attacks.field import VICTIM, Field
from tests.attacks.hostile import data2, head2
from tests.attacks.test_destination import fields
from tests.door.world import WRONG_KEY

NEXT = b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n"


@pytest.mark.parametrize("setting", BASE_URL, ids=str)
@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(f"Authorization: Bearer {WRONG_KEY}\r\n", 401, id="a wrong key"),
        pytest.param("{proof}Upgrade: foo\r\n", 403, id="an upgrade"),
        pytest.param("{proof}" + "X: y\r\n" * 300, 431, id="a head out of bounds"),
    ],
)
def test_a_refusal_of_head_has_no_body(
    field: Field, setting: Setting, said: str, status: int
) -> None:
    """Its agent would take the body for the answer to its next call (RFC 9110, 9.3.2)."""
    field.refused = False
    head = f"HEAD /v1/models HTTP/1.1\r\nHost: {{victim}}\r\n{said}\r\n"
    sent = field.fill(head.encode() + NEXT, reverse=True)
    with (
        open_at(field.doors[setting.mode].ports[1]) as plain,
        secured(plain, VICTIM) as one,
    ):
        one.sendall(sent)
        one.settimeout(ANSWER_S)
        first = read_answer(one, bodiless=True)
        while first.count(b"HTTP/1.1 ") < 2 and (chunk := one.recv(65536)):
            first += chunk
    _, _, behind = first.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d" % status)
    assert behind.startswith(b"HTTP/1.1 200")


def test_an_error_of_head_has_no_body(field: Field) -> None:
    """Nor has the word that the upstream cannot be reached."""
    target = b"127.0.0.1:1"
    head = b"HEAD / HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"
    with open_at(field.doors[Mode.OBSERVE].ports[0]) as plain:
        plain.sendall(connect(field, target))
        assert read_answer(plain).startswith(b"HTTP/1.1 200")
        with secured(plain, None) as one:
            for _ in range(2):
                one.sendall(head)
                answer = read_answer(one, bodiless=True)
                one.settimeout(SILENCE_S)
                answer += read_rest(one)
                one.settimeout(ANSWER_S)
                assert answer.startswith(b"HTTP/1.1 502")
                assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "framing", ["Content-Length: 9", "Transfer-Encoding: chunked", "Content-Length: x"]
)
def test_a_connect_with_a_body(field: Field, mode: Mode, framing: str) -> None:
    """No tunnel, and nothing breaks when it is cut off in the middle of it."""
    door = field.doors[mode]
    before = door.log.count("Traceback")
    proof = field.fill(b"Proxy-Authorization: Basic {good}\r\n") + framing.encode() + b"\r\n"
    with open_at(door.ports[0]) as plain:
        plain.sendall(connect(field, b"{victim}", proof=proof) + b"\x16\3\1")
        assert read_answer(plain).startswith(b"HTTP/1.1 400")
    with open_at(door.ports[0]) as plain:
        plain.sendall(connect(field, b"{victim}"))
        assert read_answer(plain).startswith(b"HTTP/1.1 200")
    assert not field.reached
    assert door.log.count("Traceback") == before


def heard(one: socket.socket, talk: h2.connection.H2Connection, stream: int) -> list[Any]:
    """What comes until a stream is over, on both sides; none where the connection is closed."""
    found: list[Any] = []
    while chunk := one.recv(65536):
        found += talk.receive_data(chunk)
        one.sendall(talk.data_to_send())
        ends = [e for e in found if isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset))]
        if any(e.stream_id == stream for e in ends):
            return found
    return []


RPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
DONE = (b"grpc-status", b"0")
EARLY = {
    "trailers only": head2((b":status", b"200"), RPC[0], DONE, end=True),
    "a message and trailers": (
        head2((b":status", b"200"), RPC[0])
        + data2(b"\0\0\0\0\5hello", end=False)
        + head2(DONE, end=True)
    ),
    "an answer that is no gRPC": (
        head2((b":status", b"403"), (b"content-type", b"text/plain")) + data2(b"no")
    ),
}


@pytest.mark.parametrize("says", EARLY)
def test_an_answer_before_its_agent_has_said_all(field: Field, says: str) -> None:
    """It ends that call with what it says, and no other of the connection (RFC 9113, 8.1)."""
    door = field.doors[Mode.OBSERVE]
    config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
    talk = h2.connection.H2Connection(config)
    talk.initiate_connection()
    before = door.log.count("Traceback")
    with field.of_the_hostile() as upstream, open_at(door.ports[0]) as plain:
        upstream.speaks("h2")
        upstream.says, upstream.stays = EARLY[says], True
        plain.sendall(connect(field, b"{victim}"))
        assert read_answer(plain).startswith(b"HTTP/1.1 200")
        with secured(plain, VICTIM, "h2") as one:
            own = [(name, field.fill(value)) for name, value in fields(method=b"POST")]
            talk.send_headers(1, [*own, *RPC])
            talk.send_data(1, b"\0\0\0\0\5he")
            one.sendall(talk.data_to_send())
            answer = heard(one, talk, 1)
            # What was on its way when the answer came, and another call.
            late = data2(b"llo", stream=1)
            talk.send_headers(3, [(b":method", b"TRACE"), *own[1:]], end_stream=True)
            one.sendall(late + talk.data_to_send())
            other = heard(one, talk, 3)
    codes = [e.error_code for e in answer if isinstance(e, h2.events.StreamReset)]
    assert codes in ([], [h2.errors.ErrorCodes.NO_ERROR])
    assert any(isinstance(e, h2.events.StreamEnded) for e in answer)
    (refused,) = [e for e in other if isinstance(e, h2.events.ResponseReceived)]
    assert dict(refused.headers)[b":status"] == b"403"
    assert door.log.count("Traceback") == before


def test_bytes_that_are_no_tls_behind_a_call(field: Field, mode: Mode) -> None:
    """The answer cannot be told any more: the connection is closed, and nothing breaks."""
    door = field.doors[mode]
    before = door.log.count("Traceback")
    with open_at(door.ports[0]) as plain, plain.dup() as wire:
        plain.sendall(connect(field, b"{victim}"))
        assert read_answer(plain).startswith(b"HTTP/1.1 200")
        with secured(plain, VICTIM) as one:
            one.sendall(field.fill(b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n\r\n"))
            wire.sendall(b"\x17\3\3\0\x20" + bytes(32))
            one.settimeout(2)
            with suppress(OSError):  # of TLS, or it hangs up
                while one.recv(65536):
                    pass
    assert door.log.count("Traceback") == before
