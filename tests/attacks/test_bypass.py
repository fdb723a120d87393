"""Around the judge: raw bytes, other protocols, other upgrades, what comes before and after."""

import ssl

import pytest

from interlock.model import Mode
from tests.attacks.case import (
    BASE_URL,
    BOTH,
    PROXY,
    Case,
    Setting,
    Then,
    attempt,
    connect,
    judge,
    open_at,
    read_answer,
    said_and_heard,
    table,
)
from tests.attacks.field import Field
from tests.attacks.listener import Listener

REFUSED, KEYLESS, PASSES, HARMLESS = Then.REFUSED, Then.KEYLESS, Then.PASSES, Then.HARMLESS
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def get(*lines: str, line: str = "GET /v1/models HTTP/1.1", host: str = "{victim}") -> bytes:
    """A GET with further lines."""
    return "\r\n".join([line, f"Host: {host}", *lines]).encode() + b"\r\n{proof}\r\n"


def raw(said: str, sent: bytes, then: Then = REFUSED, connect: bytes = b"{victim}") -> Case:
    """Bytes in place of TLS behind a CONNECT; who gets no answer soon will get none."""
    return Case(said, then, sent, connect, raw=True, mute=True)


RAW = [
    raw("a greeting of SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    raw("a command for Redis", b"*1\r\n$4\r\nINFO\r\n"),
    raw("a line for Redis", b"CONFIG SET dir /root\r\n"),
    raw("a greeting of SMTP", b"EHLO evil.test\r\nMAIL FROM:<a@evil.test>\r\n"),
    raw("a start packet of PostgreSQL", b"\0\0\0\x08\x04\xd2\x16\x2f"),
    raw("a query of DNS", b"\0\x1d\x12\x34\1\0\0\1\0\0\0\0\0\0\4evil\4test\0\0\1\0\1"),
    raw("a handshake of SSL 2", b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + b"\0" * 40),
    raw("a handshake of SOCKS 5", b"\5\1\0"),
    raw("random bytes", bytes(range(128, 256)) * 4),
    raw("a record of TLS that is cut off", b"\x16\3\1\2\0\1\0"),
    raw("a record of TLS that is no handshake", b"\x17\3\3\0\5hello"),
    raw("HTTP/2 without TLS", PREFACE),
    raw("one byte", b"x"),
    raw("raw bytes to a stranger's open port", b"*1\r\n$4\r\nINFO\r\n", connect=b"127.0.0.1:{P}"),
    raw("HTTP/2 to a stranger's open port", PREFACE, connect=b"127.0.0.1:{P}"),
    Case("HTTP in place of TLS", REFUSED, raw=True),
    Case(
        "HTTP to a stranger's open port",
        KEYLESS,
        get(host="127.0.0.1:{P}"),
        b"127.0.0.1:{P}",
        raw=True,
    ),
    Case(
        "a CONNECT in the tunnel",
        REFUSED,
        get(line="CONNECT {stranger} HTTP/1.1", host="{stranger}"),
    ),
]


@table(RAW, PROXY)
def test_what_follows_a_connect(field: Field, case: Case, setting: Setting) -> None:
    """A tunnel carries calls over HTTP and TLS; nothing else is passed on, nobody is dialled."""
    judge(field, case, setting)
    assert not (case.mute and any(one.connections for one in field.listeners))


RAW_AT_A_BASE_URL = [
    Case("HTTP in place of TLS", HARMLESS, raw=True),
    raw("HTTP/2 without TLS", PREFACE),
    raw("a greeting of SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    Case("HTTP/2 without having agreed on it", REFUSED, PREFACE, mute=True),
]


@table(RAW_AT_A_BASE_URL, BASE_URL)
def test_what_a_base_url_hears(field: Field, case: Case, setting: Setting) -> None:
    """The same at a listener of a base URL."""
    judge(field, case, setting)


@pytest.mark.parametrize(
    "sent", [PREFACE, b"*1\r\n$4\r\nINFO\r\n", b"\5\1\0", b"\x04\1\0\x50\0\0\0\1x\0"]
)
def test_what_the_proxy_hears_without_a_connect(field: Field, mode: Mode, sent: bytes) -> None:
    """No protocol but HTTP opens anything."""
    with open_at(field.doors[mode].ports[0]) as agent:
        field.answers.append(said_and_heard(agent, sent, mute=True))
    assert not field.reached


WEBSOCKET = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
UPGRADES = [
    Case("to SSH", REFUSED, get("Upgrade: ssh", "Connection: Upgrade")),
    Case("to anything", REFUSED, get("Upgrade: x", "Connection: Upgrade")),
    Case("to a WebSocket or SSH", REFUSED, get("Upgrade: websocket, ssh", "Connection: Upgrade")),
    Case("to SSH, in a second header", REFUSED, get(*WEBSOCKET, "Upgrade: ssh")),
    Case("to a WebSocket without a key", REFUSED, get("Upgrade: websocket", "Connection: Upgrade")),
    Case(
        "to an old WebSocket",
        REFUSED,
        get(*WEBSOCKET[:2], "Sec-WebSocket-Version: 8", WEBSOCKET[3]),
    ),
    Case("to a WebSocket by a POST", REFUSED, get(*WEBSOCKET, line="POST /v1/models HTTP/1.1")),
    Case("to TLS", REFUSED, get("Upgrade: TLS/1.0", "Connection: Upgrade")),
    Case("to HTTP/3", REFUSED, get("Upgrade: h3", "Connection: Upgrade")),
    Case("to nothing", REFUSED, get("Upgrade: ", "Connection: Upgrade")),
    Case(
        "to HTTP/2 in plain text, which is taken off",
        PASSES,
        get("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"),
    ),
    Case("settings of HTTP/2 alone", HARMLESS, get("HTTP2-Settings: AAMAAABk")),
    Case("Alt-Used", HARMLESS, get("Alt-Used: {stranger}")),
]


@table(UPGRADES, BOTH)
def test_an_upgrade(field: Field, case: Case, setting: Setting) -> None:
    """No upgrade but to a WebSocket leaves."""
    judge(field, case, setting)
    assert not any(b"\r\nupgrade:" in head.lower() for head in field.heads)


DELETE = "DELETE /v1/files/f1 HTTP/1.1"
EXPECT = [
    Case(
        "a denied call that waits for 100",
        KEYLESS,
        get("Expect: 100-continue", "Content-Length: 5", line=DELETE, host="{stranger}") + b"hello",
        b"{stranger}",
        "stranger.test",
    ),
    Case(
        "a call that is refused and waits for 100",
        REFUSED,
        get("Expect: 100-continue", "Content-Length: 5", host="{stranger}") + b"hello",
    ),
    Case("two of them", HARMLESS, get("Expect: 100-continue", "Expect: 100-continue")),
    Case("an expectation that is unknown", HARMLESS, get("Expect: the-unexpected")),
    Case("a call that waits for 100, without a body", PASSES, get("Expect: 100-continue")),
]


@table(EXPECT, PROXY)
def test_an_expectation(field: Field, case: Case, setting: Setting) -> None:
    """It is answered here: it neither opens the way to the upstream nor goes along."""
    judge(field, case, setting)
    assert not any(b"\r\nexpect:" in head.lower() for head in field.heads)


def test_a_body_without_end(field: Field, mode: Mode) -> None:
    """Chunks for ever end at the limit, with 413 or a hang-up; nobody receives them."""
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    head = b"POST /v1/files HTTP/1.1\r\nHost: {victim}\r\nTransfer-Encoding: chunked\r\n{proof}\r\n"
    case = Case("", REFUSED, head + chunk * 140)
    answer = attempt(field, case, Setting(mode, reverse=True))
    assert answer.startswith(b"HTTP/1.1 413")
    assert not field.reached


def test_a_client_that_pins_its_certificate(field: Field, mode: Mode) -> None:
    """It does not trust ours and hangs up; it is not passed through instead."""
    strict = ssl.create_default_context(cafile=field.certificates.ca)
    with open_at(field.doors[mode].ports[0]) as agent:
        agent.sendall(connect(field, b"{victim}"))
        read_answer(agent)
        with pytest.raises(ssl.SSLCertVerificationError):
            strict.wrap_socket(agent, server_hostname="victim.test")
    assert not field.victim.connections


def test_alternative_services_are_taken_off_an_answer(field: Field, mode: Mode) -> None:
    """An upstream cannot send the agent past the door, by HTTP/3 or to another port."""
    extra = f'Alt-Svc: h3=":443", h2="{field.stranger_at}"\r\n'
    other = Listener(field.certificates, extra=extra)
    with field.with_listener(other):
        at = f"victim.test:{other.port}"
        answer = attempt(field, Case("", HARMLESS, get(host=at), at.encode()), Setting(mode))
    assert b"alt-svc" not in answer.lower()


AFTERWARDS = [
    Case(f"changes {what}", REFUSED, get(f"X-Late: {what}", "X-Other: {S}"))
    for what in (
        *("host", "port", "path", "query", "method", "scheme", "body", "host-header"),
        *("trailers", "transfer-encoding", "content-length", "authority"),
    )
] + [
    Case(f"changes {what}", HARMLESS, get(f"X-Late: {what}", "X-Other: {S}"))
    for what in ("server", "via")
]


@table(AFTERWARDS, BOTH)
def test_an_addon_behind_ours(field: Field, case: Case, setting: Setting) -> None:
    """What it makes of a request was not judged, so it does not leave."""
    judge(field, case, setting)
    assert not field.stranger.connections
