"""Hostile answers: none breaks the door, brings the key back, or becomes the next call's answer."""

import gzip
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import brotli
import pytest
import zstandard
from hyperframe.frame import (
    AltSvcFrame,
    Frame,
    GoAwayFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from interlock.model import Mode
from tests.attacks.case import BOTH, GET, WHOLE, Case, Setting, Then, attempt
from tests.attacks.field import CANARY, VICTIM, Field
from tests.attacks.hostile import Hostile, Says, bomb2, continued, data2, head2
from tests.attacks.test_destination import FIELDS

KEY = CANARY.encode()
STARS = b"*" * len(KEY)
WITHIN_S = 40.0


class Comes(StrEnum):
    """What the agent must get."""

    BROKEN = "502, or an answer that breaks off"
    MASKED = "the answer, whole, with stars where the key was"
    WHOLE = "the answer, whole"
    ENDED = "whatever it is, it ends, and the key is not in it"


BROKEN, MASKED, ENDED = Comes.BROKEN, Comes.MASKED, Comes.ENDED


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream says, and what must come of it; it `stays` when it does not hang up."""

    said: str
    comes: Comes
    says: Says
    stays: bool = False
    method: bytes = b"GET"

    def __str__(self) -> str:
        return self.said


def ok(*lines: bytes, body: bytes = b"your key is " + KEY, status: bytes = b"200 OK") -> bytes:
    """An answer with a length."""
    head = [b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, b"", body])


def chunks(*pieces: bytes, lines: tuple[bytes, ...] = (), last: bytes = b"0\r\n\r\n") -> bytes:
    """An answer in chunks."""
    head = [b"HTTP/1.1 200 OK", *lines, b"Transfer-Encoding: chunked", b"", b""]
    return b"\r\n".join(head) + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + last


def slowly(whole: bytes, wait_s: float = 0.01) -> Callable[[socket.socket], None]:
    """Say it byte by byte."""

    def say(one: socket.socket) -> None:
        for at in range(len(whole)):
            one.sendall(whole[at : at + 1])
            time.sleep(wait_s)

    return say


def reset(before: bytes) -> Callable[[socket.socket], None]:
    """Say something, then reset the connection."""

    def say(one: socket.socket) -> None:
        one.sendall(before)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return say


def until_refused(begin: bytes, more: bytes, times: int) -> Callable[[socket.socket], None]:
    """Say something, and more and more until nobody listens."""

    def say(one: socket.socket) -> None:
        with suppress(OSError):
            one.sendall(begin)
            for _ in range(times):
                one.sendall(more)

    return say


CODED = b"Content-Encoding: "
OF_HTTP1 = [
    Answer("as it should be", MASKED, ok()),
    Answer("nothing at all", BROKEN, b""),
    Answer("bytes that are no HTTP", BROKEN, b"SSH-2.0-x " + KEY + b"\r\n\r\n"),
    Answer("a body without a head, as in HTTP/0.9", BROKEN, b"<p>" + KEY + b"\r\n\r\n"),
    Answer("frames of HTTP/2", BROKEN, SettingsFrame(0).serialize() + KEY),
    Answer("an alert in place of an answer", BROKEN, reset(b"")),
    Answer("a reset in the head", BROKEN, reset(b"HTTP/1.1 200 OK\r\nX-Key: " + KEY)),
    Answer("a reset in the body", BROKEN, reset(ok()[:-3])),
    Answer("an end in the head", BROKEN, b"HTTP/1.1 200 OK\r\nX-Key: " + KEY),
    Answer("an end in the body", BROKEN, ok()[:-3]),
    Answer("an end in a chunk", BROKEN, chunks(KEY)[:-8]),
    Answer("an end before the last chunk", BROKEN, chunks(KEY, last=b"")),
    Answer("a status of two digits", BROKEN, ok(status=b"20 OK")),
    Answer("a status of letters", BROKEN, ok(status=b"abc OK")),
    Answer("a status of four digits", ENDED, ok(status=b"2000 OK")),
    Answer("a negative status", BROKEN, ok(status=b"-200 OK")),
    Answer("a status without a reason", MASKED, ok(status=b"200")),
    Answer("another version", ENDED, ok().replace(b"HTTP/1.1", b"HTTP/9.9")),
    Answer("HTTP/1.0, which ends with the connection", MASKED, b"HTTP/1.0 200 OK\r\n\r\n" + KEY),
    Answer("the key in the reason", MASKED, ok(status=b"200 " + KEY)),
    Answer("the key in a value", MASKED, ok(b"X-Key: " + KEY)),
    Answer("the key in a name", MASKED, ok(KEY + b": x")),
    Answer("the key in a cookie", MASKED, ok(b"Set-Cookie: k=" + KEY + b"; Path=/")),
    Answer("the key in a Location", MASKED, ok(b"Location: https://x/?k=" + KEY, status=b"302 x")),
    Answer("the key in an error", MASKED, ok(status=b"500 x")),
    Answer("the key in a multipart body", MASKED, ok(body=b"--x\r\n\r\n" + KEY + b"\r\n--x--\r\n")),
    Answer(
        "the key in a trailer",
        MASKED,
        chunks(b"k=" + KEY, last=b"0\r\nX-Key: " + KEY + b"\r\n\r\n"),
    ),
    Answer(
        "trailers that were announced",
        MASKED,
        chunks(KEY, lines=(b"Trailer: X-Sum",), last=b"0\r\nX-Sum: 1\r\n\r\n"),
    ),
    Answer("a trailer that is none", BROKEN, chunks(KEY, last=b"0\r\nno colon\r\n\r\n")),
    Answer(
        "a length and a credential as trailers",
        MASKED,
        chunks(KEY, last=b"0\r\nContent-Length: 1\r\nAuthorization: " + KEY + b"\r\n\r\n"),
    ),
    Answer(
        "the key in an extension of a chunk",
        MASKED,
        chunks(KEY).replace(b"\r\n" + KEY, b";x=" + KEY + b"\r\n" + KEY),
    ),
    Answer("the key over two chunks", MASKED, chunks(KEY[:9], KEY[9:])),
    Answer("the key byte by byte", MASKED, chunks(*(KEY[at : at + 1] for at in range(len(KEY))))),
    Answer("two lengths that differ", BROKEN, ok(b"Content-Length: 1")),
    Answer("two lengths that agree", ENDED, ok(b"Content-Length: %d" % len(b"your key is " + KEY))),
    Answer("a negative length", BROKEN, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + KEY),
    Answer("a length with a sign", ENDED, b"HTTP/1.1 200 OK\r\nContent-Length: +9\r\n\r\n" + KEY),
    Answer(
        "a length beyond 64 bits",
        BROKEN,
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551648\r\n\r\n" + KEY,
    ),
    Answer("a length and chunks", ENDED, chunks(KEY, lines=(b"Content-Length: 4",))),
    Answer("gzip, then chunked", BROKEN, chunks(KEY).replace(b"chunked", b"gzip, chunked")),
    Answer("a transfer coding that nobody knows", BROKEN, chunks(KEY).replace(b"chunked", b"xch")),
    Answer("a chunk with a negative size", BROKEN, chunks(last=b"-1\r\n" + KEY + b"\r\n")),
    Answer("a chunk that is no number", BROKEN, chunks(last=b"xyz\r\n" + KEY + b"\r\n")),
    Answer("a chunk longer than it says", BROKEN, chunks(last=b"1\r\n" + KEY + b"\r\n0\r\n\r\n")),
    Answer("a bare CR in a value", ENDED, ok(b"X-A: a\rX-Key: " + KEY)),
    Answer("a NUL in a value", ENDED, ok(b"X-A: a\0" + KEY)),
    Answer("a folded value", ENDED, ok(b"X-A: a\r\n " + KEY)),
    Answer("a line without a colon", BROKEN, ok(KEY)),
    Answer("a space before the colon", ENDED, ok(b"X-Key : " + KEY)),
    Answer("an empty name", ENDED, ok(b": " + KEY)),
    Answer("lines that end in a bare LF", ENDED, ok().replace(b"\r\n", b"\n")),
    Answer("an interim answer", BROKEN, b"HTTP/1.1 100 " + KEY + b"\r\n\r\n" + ok()),
    Answer(
        "early hints with the key", BROKEN, b"HTTP/1.1 103 x\r\nLink: " + KEY + b"\r\n\r\n" + ok()
    ),
    Answer(
        "an upgrade that nobody asked for",
        BROKEN,
        b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + KEY,
    ),
    Answer("a second answer behind it", ENDED, ok() + ok(b"X-Second: " + KEY)),
    Answer("more body than it says", ENDED, ok() + KEY),
    Answer("a body of a HEAD", ENDED, ok(), method=b"HEAD"),
    Answer("a body of a 204", ENDED, ok(status=b"204 x")),
    Answer("a body of a 304", ENDED, ok(status=b"304 x")),
    Answer("a head byte by byte", MASKED, slowly(ok(b"X-Key: " + KEY))),
    Answer(
        "a head of 100 MiB",
        BROKEN,
        until_refused(b"HTTP/1.1 200 OK\r\nX: " + KEY, bytes(1 << 20).replace(b"\0", b"a"), 100),
    ),
    Answer(
        "10,000 headers",
        ENDED,
        ok(*(b"X-%d: %s" % (i, KEY) for i in range(10_000))),
    ),
    Answer(
        "headers without end",
        BROKEN,
        until_refused(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 9000, 900),
    ),
    Answer(
        "the line of a chunk without end",
        BROKEN,
        until_refused(chunks(last=b"5;"), b"a" * (1 << 20), 50),
    ),
    Answer(
        "trailers without end",
        BROKEN,
        until_refused(chunks(last=b"0\r\n"), b"x: y\r\n" * 9000, 900),
    ),
    Answer("gzip", MASKED, ok(CODED + b"gzip", body=gzip.compress(KEY))),
    Answer(
        "gzip in brotli", MASKED, ok(CODED + b"gzip, br", body=brotli.compress(gzip.compress(KEY)))
    ),
    Answer(
        "two headers of a coding",
        MASKED,
        ok(CODED + b"gzip", CODED + b"br", body=brotli.compress(gzip.compress(KEY))),
    ),
    Answer("a coding that nobody knows", BROKEN, ok(CODED + b"rot13")),
    Answer("a coding that is a lie", BROKEN, ok(CODED + b"br", body=gzip.compress(KEY))),
    Answer("a coding cut off", BROKEN, ok(CODED + b"gzip", body=gzip.compress(KEY)[:-9])),
    Answer("bytes behind a coding", ENDED, ok(CODED + b"gzip", body=gzip.compress(KEY) + KEY)),
    Answer("a bomb of gzip", BROKEN, ok(CODED + b"gzip", body=gzip.compress(bytes(50 << 20)))),
    Answer("a bomb of brotli", BROKEN, ok(CODED + b"br", body=brotli.compress(bytes(200 << 20)))),
    Answer(
        "a bomb of zstd", BROKEN, ok(CODED + b"zstd", body=zstandard.compress(bytes(200 << 20)))
    ),
    Answer(
        "a stacked bomb",
        BROKEN,
        ok(CODED + b"gzip, gzip", body=gzip.compress(gzip.compress(bytes(50 << 20)))),
    ),
]


def fields2(*more: tuple[bytes, bytes], status: bytes = b"200") -> bytes:
    """A head of HTTP/2."""
    return head2((b":status", status), *more)


def flood2(frame: Frame, times: int = 5000) -> Callable[[socket.socket], None]:
    """The same frame again and again."""
    return until_refused(fields2(), frame.serialize() * 100, times // 100)


BODY = data2(b"your key is " + KEY)
OF_HTTP2 = [
    Answer("as it should be", MASKED, fields2() + BODY, stays=True),
    Answer("nothing at all", BROKEN, b""),
    Answer("an answer of HTTP/1.1", BROKEN, ok()),
    Answer("a body before the head", BROKEN, BODY),
    Answer("the key in a value", MASKED, fields2((b"x-key", KEY)) + BODY, stays=True),
    Answer("the key in a name", MASKED, fields2((KEY.lower(), KEY)) + BODY, stays=True),
    Answer(
        "the key in trailers",
        MASKED,
        fields2() + data2(KEY, end=False) + head2((b"x-key", KEY), end=True),
        stays=True,
    ),
    Answer(
        "a status in trailers",
        BROKEN,
        fields2() + data2(KEY, end=False) + head2((b":status", b"200"), (b"x", KEY), end=True),
    ),
    Answer(
        "trailers that end nothing",
        BROKEN,
        fields2() + data2(KEY, end=False) + head2((b"x", KEY)),
    ),
    Answer("no status", BROKEN, head2((b"x-key", KEY)) + BODY),
    Answer("two of them", BROKEN, fields2((b":status", b"500")) + BODY),
    Answer("a status of letters", BROKEN, fields2(status=b"abc") + BODY),
    Answer("a status behind a header", BROKEN, head2((b"x", b"y"), (b":status", b"200")) + BODY),
    Answer("a pseudo-header of a request", BROKEN, fields2((b":path", KEY)) + BODY),
    Answer("a name in capitals", BROKEN, fields2((b"X-Key", KEY)) + BODY),
    Answer("an empty name", BROKEN, fields2((b"", KEY)) + BODY),
    Answer("CR and LF in a value", BROKEN, fields2((b"x", b"a\r\nx-key: " + KEY)) + BODY),
    Answer("a NUL in a value", BROKEN, fields2((b"x", b"a\0" + KEY)) + BODY),
    Answer("CR and LF in a name", BROKEN, fields2((b"x: a\r\ny", KEY)) + BODY),
    Answer("Connection", BROKEN, fields2((b"connection", b"close")) + BODY),
    Answer("Transfer-Encoding", BROKEN, fields2((b"transfer-encoding", b"chunked")) + BODY),
    Answer("a length that is too small", BROKEN, fields2((b"content-length", b"4")) + BODY),
    Answer("a length that is too large", BROKEN, fields2((b"content-length", b"99")) + BODY),
    Answer(
        "an interim answer with the key",
        MASKED,
        fields2((b"link", KEY), status=b"103") + fields2() + BODY,
        stays=True,
    ),
    Answer("an upgrade", BROKEN, fields2(status=b"101") + BODY),
    Answer("an end in the head", BROKEN, fields2()[:12]),
    Answer("an end in the body", BROKEN, fields2() + BODY[:20]),
    Answer(
        "a reset stream",
        BROKEN,
        fields2() + RstStreamFrame(1, error_code=2).serialize(),
        stays=True,
    ),
    Answer(
        "a farewell with the key",
        BROKEN,
        fields2() + GoAwayFrame(0, last_stream_id=0, additional_data=KEY).serialize(),
    ),
    Answer("a push", BROKEN, PushPromiseFrame(1, promised_stream_id=2, data=b"\x82").serialize()),
    Answer("an answer that nobody asked for", BROKEN, head2((b":status", b"200"), stream=9) + BODY),
    Answer("a request", BROKEN, head2(*((n, v) for n, v in FIELDS), stream=2)),
    Answer(
        "an alternative service",
        MASKED,
        AltSvcFrame(0, origin=b"https://" + VICTIM.encode(), field=b'h2="x:1"').serialize()
        + fields2()
        + BODY,
        stays=True,
    ),
    Answer(
        "a window of nothing",
        BROKEN,
        fields2() + WindowUpdateFrame(1, window_increment=1).serialize()[:9] + b"\0\0\0\0",
    ),
    Answer(
        "a window beyond 31 bits",
        BROKEN,
        WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2,
    ),
    Answer("a frame that is too long", BROKEN, b"\xff\xff\xff\0\0\0\0\0\1" + KEY * 9),
    Answer(
        "an empty frame without end",
        BROKEN,
        until_refused(fields2(), data2(b"", end=False) * 100, 50),
    ),
    Answer("a flood of SETTINGS", BROKEN, flood2(SettingsFrame(0, settings={3: 7})), stays=True),
    Answer("a flood of PING", BROKEN, flood2(PingFrame(0, opaque_data=b"12345678")), stays=True),
    Answer(
        "a flood of interim answers",
        BROKEN,
        until_refused(b"", fields2(status=b"103") * 100, 50),
        stays=True,
    ),
    Answer(
        "a flood of CONTINUATION",
        BROKEN,
        until_refused(continued(1000), continued(1)[10:] * 100, 900),
        stays=True,
    ),
    Answer("a head that is not continued", BROKEN, continued(1)),
    Answer("a bomb of HPACK", BROKEN, head2(block=bomb2(9000))),
    Answer("an index that is not there", BROKEN, head2(block=b"\xff\xff\x7f")),
    Answer(
        "gzip",
        MASKED,
        fields2((b"content-encoding", b"gzip")) + data2(gzip.compress(KEY)),
        stays=True,
    ),
    Answer(
        "a bomb of brotli",
        BROKEN,
        fields2((b"content-encoding", b"br")) + data2(brotli.compress(bytes(200 << 20))),
    ),
]


@pytest.fixture
def hostile(field: Field) -> Iterator[Hostile]:
    """It stands where the victim does."""
    with field.of_the_hostile() as upstream:
        yield upstream


@pytest.fixture(scope="module", autouse=True)
def accounts(_field: Field) -> Iterator[None]:
    """At the end every call has an outcome, whatever was answered."""
    yield
    at = f"{VICTIM}:{_field.hostile.port}"
    rows = [row for row in _field.decisions() if row["body"]["authority"] == at]
    rows = [row for row in rows if row["body"]["label"] != "deny"]
    assert rows
    assert all(_field.outcome(row["decision_id"]) for row in rows)


def over(answers: list[Answer], protocols: tuple[str, ...]) -> pytest.MarkDecorator:
    """Every answer in every setting to an agent of each protocol, or each once, in turn."""
    rows: list[Any] = []
    ways = [(setting, spoken) for spoken in protocols for setting in BOTH]
    for at, answer in enumerate(answers):
        for setting, spoken in ways if WHOLE else [ways[at % len(ways)]]:
            name = f"{answer} ({setting}, {spoken})"
            rows.append(pytest.param(answer, setting, spoken, id=name))
    return pytest.mark.parametrize(("answer", "setting", "spoken"), rows)


@over(OF_HTTP1, ("HTTP/1.1", "HTTP/2"))
def test_an_answer_of_http1(
    field: Field, hostile: Hostile, answer: Answer, setting: Setting, spoken: str
) -> None:
    """It comes through whole and scrubbed, or it is broken off."""
    hostile.speaks("http/1.1")
    try_one(field, hostile, answer, setting, spoken)


@over(OF_HTTP2, ("HTTP/2",))
def test_an_answer_of_http2(
    field: Field, hostile: Hostile, answer: Answer, setting: Setting, spoken: str
) -> None:
    """The same of an upstream of HTTP/2."""
    hostile.speaks("h2")
    try_one(field, hostile, answer, setting, spoken)


def try_one(field: Field, hostile: Hostile, answer: Answer, setting: Setting, spoken: str) -> None:
    """Ask, and look at what came."""
    hostile.says, hostile.stays = answer.says, answer.stays
    began = time.monotonic()
    got = attempt(field, asks(answer.method, spoken), setting)
    assert time.monotonic() - began < WITHIN_S
    is_denied = answer.method == b"HEAD" and setting.mode is Mode.ENFORCE
    assert len(hostile.heads) == (0 if is_denied else 1)
    whole = got.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2 ")) and b" 502" not in got[:20]
    field.refused = not whole or not is_complete(got, spoken, answer.method)
    match answer.comes:
        case Comes.BROKEN:
            assert field.refused, got[:500]
        case Comes.MASKED:
            assert not field.refused, got[:500]
            assert STARS in got
            assert b"x-sum" not in got.lower()


def asks(method: bytes, spoken: str) -> Case:
    """One call of an agent."""
    if spoken == "HTTP/1.1":
        return Case("", Then.HARMLESS, GET.replace(b"GET", method))
    return Case("", Then.HARMLESS, fields=((b":method", method), *FIELDS[1:]))


def is_complete(got: bytes, spoken: str, method: bytes) -> bool:
    """Say whether an answer came to its end."""
    if spoken != "HTTP/1.1":
        return b" reset " not in got and not got.endswith(b" broken")
    head, _, body = got.partition(b"\r\n\r\n")
    lower = head.lower()
    if method == b"HEAD" or lower[8:12] in (b" 204", b" 304"):
        return True
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    length = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return not length or len(body) >= int(length)


@pytest.mark.parametrize("setting", BOTH, ids=str)
def test_a_second_answer_is_not_that_to_the_next_call(
    field: Field, hostile: Hostile, setting: Setting
) -> None:
    """Whatever an upstream says too much, the next call on the connection gets its own answer."""
    hostile.speaks("http/1.1")
    hostile.stays = True
    hostile.says = lambda one: one.sendall(ok(body=b"mine") + ok(body=b"a stranger's"))
    got = attempt(field, Case("", Then.HARMLESS, GET + GET), setting)
    assert got.count(b"mine") == got.count(b"HTTP/1.1 200") > 0
    assert b"stranger" not in got
