"""One attack: what is said at each layer, and what must come of it."""

import base64
import itertools
import os
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest

from interlock.model import Mode
from tests.attacks.field import CANARY, VICTIM, Field
from tests.door.world import TRUSTED

# `make attacks` tries every case in every setting, `make test` each once, in turn.
WHOLE = os.environ.get("INTERLOCK_ATTACKS") == "whole"
ANSWER_S = 60.0
# How long something may take that should not come at all.
SILENCE_S = 0.25 if WHOLE else 0.05
GET = b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n{proof}\r\n"


class Then(StrEnum):
    """What must come of a case."""

    REFUSED = "nobody receives anything, in either mode"
    KEYLESS = "refused where denials bind; else it goes on, and takes no key along"
    DENIED = "refused where denials bind; else the call goes on as any other"
    PASSES = "the call in its one form, with the key, at the victim alone"
    HARMLESS = "whatever it is, the key is where it should be or nowhere"


@dataclass(frozen=True, slots=True)
class Setting:
    """How a case is tried."""

    mode: Mode
    reverse: bool = False

    def __str__(self) -> str:
        return f"{self.mode}, {'base URL' if self.reverse else 'proxy'}"


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes inside TLS (`raw`: in place of TLS) behind a CONNECT; in base-URL mode without it.

    `fields` are the head of a request of HTTP/2, in place of the bytes `sent`, and `body` its
    body. An answer to wait for is not there when `mute`. `proof` is what a CONNECT has in place
    of the agent's.
    """

    said: str
    then: Then
    sent: bytes = GET
    connect: bytes = b"{victim}"
    sni: str | None = VICTIM
    raw: bool = False
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    mute: bool = False
    proof: bytes | None = None

    def __str__(self) -> str:
        return self.said


PROXY = tuple(Setting(mode) for mode in Mode)
BASE_URL = tuple(Setting(mode, reverse=True) for mode in Mode)
BOTH = PROXY + BASE_URL


def table(cases: Iterable[Case], settings: Sequence[Setting]) -> pytest.MarkDecorator:
    """Every case in every setting, or each in one of them."""
    rows: list[Any] = []
    turn = itertools.cycle(settings)
    for case in cases:
        chosen = settings if WHOLE else (next(turn),)
        rows += [pytest.param(case, one, id=f"{case} ({one})") for one in chosen]
    return pytest.mark.parametrize(("case", "setting"), rows)


def judge(field: Field, case: Case, setting: Setting) -> None:
    """Try a case and say whether what must come of it did."""
    answer = attempt(field, case, setting)
    keys = sum(head.count(CANARY.encode()) for head in field.victim.heads)
    match case.then:
        case Then.REFUSED:
            assert not field.reached, answer
        case Then.KEYLESS:
            assert keys == 0, answer
            assert not (setting.mode is Mode.ENFORCE and field.reached), answer
        case Then.DENIED:
            assert not (setting.mode is Mode.ENFORCE and field.reached), answer
        case Then.PASSES:
            final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert final.startswith((b"HTTP/1.1 200", b"HTTP/2 200")), answer
            assert (len(field.heads), keys) == (1, 1), field.heads
    assert len(field.heads) <= 1, "one request became two"


def attempt(field: Field, case: Case, setting: Setting) -> bytes:
    """Do it, and answer every byte that came back."""
    answer = _attempt(field, case, setting)
    field.answers.append(answer)
    return answer


def _attempt(field: Field, case: Case, setting: Setting) -> bytes:
    door = field.doors[setting.mode]
    with suppress(OSError), open_at(door.ports[field.base if setting.reverse else 0]) as plain:
        if not setting.reverse:
            plain.sendall(connect(field, case.connect, proof=case.proof))
            head = read_answer(plain)
            if b" 200 " not in head.split(b"\r\n")[0]:
                return head
        if case.raw:
            return said_and_heard(plain, field.fill(case.sent, reverse=setting.reverse), case.mute)
        with secured(plain, case.sni, "h2" if case.fields else "http/1.1") as secure:
            if case.fields:
                return http2(secure, filled(field, case, setting), case.body)
            sent = field.fill(case.sent, reverse=setting.reverse)
            return said_and_heard(secure, sent, case.mute)
    return b""


def open_at(port: int) -> socket.socket:
    """Connect to a front door."""
    plain = socket.create_connection(("127.0.0.1", port), ANSWER_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def connect(field: Field, target: bytes, agent: str = TRUSTED, proof: bytes | None = None) -> bytes:
    """A CONNECT with the proof of an agent, or with the lines that are there instead."""
    if proof is None:
        known = base64.b64encode(f"{agent}:{field.keys[agent]}".encode())
        proof = b"Proxy-Authorization: Basic " + known + b"\r\n"
    return field.fill(
        b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n" + proof + b"\r\n"
    )


def secured(plain: socket.socket, sni: str | None, protocol: str = "http/1.1") -> ssl.SSLSocket:
    """TLS as an attacker does it: any name, no verification."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(plain, server_hostname=sni)


def said_and_heard(one: socket.socket, sent: bytes, mute: bool = False) -> bytes:
    """Send, and read one whole answer, and what comes uninvited behind it."""
    with suppress(OSError):  # it may hang up before it has read all
        one.sendall(sent)
    first = b"" if mute else read_answer(one, bodiless=sent.startswith(b"HEAD "))
    one.settimeout(SILENCE_S)
    heard = first + read_rest(one)
    hang_up(one)
    return heard


def hang_up(one: socket.socket) -> None:
    """Say that no more is coming and wait for the other side to be through with it.

    What it still does with this case must not be taken for something of the next.
    """
    with suppress(OSError):
        one.shutdown(socket.SHUT_WR)
        one.settimeout(ANSWER_S)
        while one.recv(65536):
            pass


def read_answer(one: socket.socket, *, bodiless: bool = False) -> bytes:
    """Read until an answer is complete, or the other side closes."""
    received = b""
    with suppress(OSError):
        while not _complete(received, bodiless) and (chunk := one.recv(65536)):
            received += chunk
    return received


def read_rest(one: socket.socket) -> bytes:
    """Read until nothing comes any more."""
    received = b""
    with suppress(OSError):
        while chunk := one.recv(65536):
            received += chunk
    return received


def _complete(received: bytes, bodiless: bool = False) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    lower = head.lower()
    if lower.startswith(b"http/1.1 1"):
        return _complete(body, bodiless)
    if bodiless or lower[8:12] in (b" 204", b" 304"):
        return True
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length or 0)


def filled(field: Field, case: Case, setting: Setting) -> list[tuple[bytes, bytes]]:
    """The head of a request of HTTP/2; in base-URL mode with the agent's key in its slot."""
    fields = [(field.fill(name), field.fill(value)) for name, value in case.fields]
    if setting.reverse:
        fields.append((b"authorization", field.fill(b"Bearer {key}")))
    return fields


def http2(secure: socket.socket, fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """One request of HTTP/2 as the attacker writes it; its answer as if it were HTTP/1.1."""
    config = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    talk = h2.connection.H2Connection(config)
    talk.initiate_connection()
    talk.send_headers(1, fields, end_stream=not body)
    if body:
        talk.send_data(1, body, end_stream=True)
    secure.sendall(talk.data_to_send())
    received = b""
    with suppress(OSError, h2.exceptions.ProtocolError):
        while chunk := secure.recv(65536):
            for event in talk.receive_data(chunk):
                match event:
                    case h2.events.ResponseReceived(headers=headers):
                        status = dict(headers)[b":status"]
                        lines = [name + b": " + value for name, value in headers]
                        received += b"HTTP/2 " + status + b"\r\n" + b"\r\n".join(lines)
                    case h2.events.DataReceived(data=data):
                        received += data
                    case h2.events.StreamEnded():
                        return received
                    case h2.events.ConnectionTerminated():
                        return received + b" broken"
                    case h2.events.StreamReset(error_code=code):
                        return received + b" reset %d" % code
            secure.sendall(talk.data_to_send())
    return received + b" broken"
