"""Floods, trickles and what never ends: whoever sends them is cut off, and nobody else waits."""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    ExtensionFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode, Trust
from tests.attacks.case import (
    BOTH,
    GET,
    PROXY,
    WHOLE,
    Setting,
    connect,
    http2,
    open_at,
    read_answer,
    secured,
)
from tests.attacks.field import VICTIM, Field
from tests.attacks.hostile import PREFACE, bomb2, continued, data2, head2
from tests.attacks.hostile_dns import SLOW_S
from tests.attacks.test_destination import FIELDS
from tests.door.patience import wait_for
from tests.door.world import TRUSTED, UNVERIFIED

LIMITS = {"header_timeout": 2, "body_timeout": 3}
# How long anything here may take to be cut off, and another agent's call meanwhile.
CUT_S, SERVED_S = 60.0, 20.0
MOST_MEMORY = 48 << 20
# Where a thousand calls a second may be begun, and a busy machine is through with none of them.
FULL_MEMORY = 256 << 20
OPENING = PREFACE + SettingsFrame(0).serialize()


@dataclass(frozen=True, slots=True)
class Flood:
    """What an agent says, `once` and then over and over; the `limit` that ends it is in the log."""

    said: str
    again: bytes
    once: bytes = b""
    limit: str = ""
    http2: bool = True

    def __str__(self) -> str:
        return self.said


def ours(field: Field, setting: Setting) -> list[tuple[bytes, bytes]]:
    """The head of a call over HTTP/2."""
    fields = [(field.fill(name), field.fill(value)) for name, value in FIELDS]
    proof = (b"authorization", field.fill(b"Bearer {key}"))
    return [*fields, proof] if setting.reverse else fields


CONTROL = "interlock_control_rate"
FLOODS = [
    Flood("SETTINGS", SettingsFrame(0, settings={3: 7}).serialize(), limit=CONTROL),
    Flood("PING", PingFrame(0, opaque_data=b"12345678").serialize(), limit=CONTROL),
    Flood("PRIORITY", PriorityFrame(1, depends_on=0).serialize(), limit=CONTROL),
    Flood("frames of an unknown type", ExtensionFrame(77, 0).serialize(), limit=CONTROL),
    Flood("CONTINUATION", ContinuationFrame(1).serialize(), continued(1)),
    Flood("CONTINUATION that grows", continued(1, bytes(16_000))[10:], continued(1)),
    Flood("a block that says a field again and again", b"", head2(block=bomb2(9000))),
    Flood("the line of a request", b"a" * 65_536, b"GET /", "interlock_header_bytes", False),
    Flood("a header", b"a" * 65_536, b"GET / HTTP/1.1\r\nX: ", "interlock_header_bytes", False),
    Flood("headers", b"x: y\r\n" * 9000, b"GET / HTTP/1.1\r\n", "interlock_header_bytes", False),
    Flood("empty lines", b"\r\n" * 9000, limit="interlock_header_bytes", http2=False),
]


def turns(cases: list[Any]) -> pytest.MarkDecorator:
    """Every case in every setting, or each in one, in turn."""
    rows = [
        pytest.param(case, setting, id=f"{case} ({setting})")
        for at, case in enumerate(cases)
        for setting in (BOTH if WHOLE else (BOTH[at % len(BOTH)],))
    ]
    return pytest.mark.parametrize(("case", "setting"), rows)


@contextmanager
def inside(
    field: Field, door: FrontDoor, setting: Setting, protocol: str = "h2", agent: str = TRUSTED
) -> Iterator[socket.socket]:
    """A connection on which TLS is up."""
    with open_at(door.ports[field.base if setting.reverse else 0]) as plain:
        if not setting.reverse:
            plain.sendall(connect(field, b"{victim}", agent))
            assert read_answer(plain).startswith(b"HTTP/1.1 200")
        with secured(plain, VICTIM, protocol) as secure:
            yield secure


def is_cut(one: socket.socket, more: bytes, pause_s: float = 0.0) -> bool:
    """Say the same until the other side hangs up; False when it still listens after a while."""
    until = time.monotonic() + CUT_S
    heard = b"-"
    while time.monotonic() < until:
        try:
            one.settimeout(CUT_S)
            if more:
                one.sendall(more)
            one.settimeout(pause_s or 0.001)
            heard = one.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            continue
        except OSError:
            return True
        if not heard:
            return True
    return False


@contextmanager
def harmless(field: Field, door: FrontDoor, most: int = MOST_MEMORY) -> Iterator[None]:
    """Whatever happens inside: another agent is served, and memory does not grow with it."""
    before = peak(door.process.pid)
    yield
    began = time.monotonic()
    with field.through(door, UNVERIFIED) as other:
        assert other.get(f"{field.openai}/v1/models").headers["interlock-decision-id"]
    assert time.monotonic() - began < SERVED_S
    field.upstream.clear()
    assert peak(door.process.pid) - before < most


def peak(pid: int) -> int:
    """The most bytes of memory that a process has had."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) << 10


@turns(FLOODS)
def test_a_flood_costs_its_connection(field: Field, case: Flood, setting: Setting) -> None:
    """And nothing else; what was said of a limit is in the log."""
    door = field.doors[setting.mode]
    before = door.log.count(case.limit)
    with (
        harmless(field, door),
        inside(field, door, setting, "h2" if case.http2 else "http/1.1") as one,
    ):
        one.sendall((OPENING if case.http2 else b"") + case.once)
        times = max(1, 100_000 // max(1, len(case.again)))
        assert is_cut(one, case.again * times)
    wait_for(lambda: not case.limit or door.log.count(case.limit) > before)
    assert not field.reached


@pytest.mark.parametrize("setting", BOTH if WHOLE else BOTH[1:3], ids=str)
def test_calls_that_are_begun_and_reset(field: Field, setting: Setting) -> None:
    """Rapid reset (CVE-2023-44487): the upstream gets no more calls than resets are allowed."""
    door = field.doors[setting.mode]
    encoder = hpack.Encoder()
    with harmless(field, door, FULL_MEMORY), inside(field, door, setting) as one:
        one.sendall(OPENING)
        cut = False
        for first in range(1, 20_000, 400):
            frames = b""
            for stream in range(first, first + 400, 2):
                block = encoder.encode(ours(field, setting), huffman=False)
                head = HeadersFrame(stream, data=block, flags=["END_HEADERS", "END_STREAM"])
                frames += head.serialize() + RstStreamFrame(stream, error_code=8).serialize()
            try:
                one.sendall(frames)
            except OSError:
                cut = True
                break
        assert cut or is_cut(one, b"")
    wait_for(lambda: "interlock_control_rate" in door.log)
    assert len(field.heads) <= 200


@pytest.mark.parametrize("setting", BOTH, ids=str)
def test_more_calls_at_once_than_a_connection_may_have(field: Field, setting: Setting) -> None:
    """The hundred-and-first stream that is open ends the connection (RFC 9113, 5.1.2)."""
    door = field.doors[setting.mode]
    encoder = hpack.Encoder()
    with harmless(field, door), inside(field, door, setting) as one:
        frames = OPENING
        for stream in range(1, 301, 2):
            block = encoder.encode([*ours(field, setting), (b"content-length", b"9")])
            frames += HeadersFrame(stream, data=block, flags=["END_HEADERS"]).serialize()
        one.sendall(frames)
        assert is_cut(one, b"")
    assert not field.reached


@pytest.mark.parametrize("setting", BOTH if WHOLE else BOTH[:1], ids=str)
def test_an_answer_that_its_agent_does_not_read(field: Field, setting: Setting) -> None:
    """No more of it is fetched than what waits; once read, it goes on to its end."""
    size, piece = 96 << 20, bytes(1 << 20)
    door = field.doors[setting.mode]

    def says(one: socket.socket) -> None:
        one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            one.sendall(piece)

    with field.of_the_hostile() as upstream:
        upstream.speaks("http/1.1")
        upstream.says, upstream.stays = says, False
        with harmless(field, door), inside(field, door, setting) as one:
            talk = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
            talk.initiate_connection()
            talk.send_headers(1, ours(field, setting), end_stream=True)
            one.sendall(talk.data_to_send())
            assert drained(one, talk, 2.0) <= 65_535
            talk.increment_flow_control_window(2**31 - 1 - 65_535)
            talk.increment_flow_control_window(2**31 - 1 - 65_535, 1)
            one.sendall(talk.data_to_send())
            assert drained(one, talk, CUT_S) >= size - 65_535


def drained(one: socket.socket, talk: h2.connection.H2Connection, within_s: float) -> int:
    """How much of an answer comes within a time, or until it ends."""
    until, size = time.monotonic() + within_s, 0
    one.settimeout(0.5)
    while time.monotonic() < until:
        try:
            chunk = one.recv(1 << 20)
        except TimeoutError:
            continue
        if not chunk:
            break
        for event in talk.receive_data(chunk):
            size += len(getattr(event, "data", b""))
            if isinstance(event, h2.events.StreamEnded):
                return size
    return size


@pytest.fixture(scope="module")
def impatient(_field: Field) -> Iterator[dict[Mode, FrontDoor]]:
    """Front doors that wait for nothing for long, one in each mode and of each program."""
    words = [f"--set=interlock_{name}={most}" for name, most in LIMITS.items()]
    with ExitStack() as stack:
        yield {mode: stack.enter_context(_field.either(mode, *words)) for mode in Mode}


POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: {victim}\r\n{proof}"
    b"Content-Type: application/json\r\n"
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# What is said at once, and what then comes ever and again; None: frames of HTTP/2.
TRICKLES: dict[str, tuple[bytes, bytes] | None] = {
    "a second head": (GET, b"G"),
    "a body": (POST + b"Content-Length: 9000\r\n\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "the line of a chunk": (CHUNKED + b"1", b"0"),
    "a block over frames": None,
    "a frame of a head": None,
    "a body in frames": None,
}


@pytest.fixture(scope="module")
def lasted(_field: Field, impatient: dict[Mode, FrontDoor]) -> dict[tuple[str, Setting], float]:
    """How long each trickle was listened to, all of them at once; for ever where it was not cut."""
    ways = [(what, setting) for what in TRICKLES for setting in BOTH]
    with ThreadPoolExecutor(len(ways)) as pool:
        times = pool.map(lambda way: trickle(_field, impatient[way[1].mode], *way), ways)
        found = dict(zip(ways, times, strict=True))
    assert not any(b"POST" in head for head in _field.heads)
    return found


def trickle(field: Field, door: FrontDoor, what: str, setting: Setting) -> float:
    """Say something bit by bit until it is cut off, and answer after how many seconds."""
    said = TRICKLES[what]
    with inside(field, door, setting, "http/1.1" if said else "h2") as one:
        begun, drip = said or frames_of(field, what, setting)
        began = time.monotonic()
        one.sendall(field.fill(begun, reverse=setting.reverse) if said else begun)
        if said and said[0] == GET:
            assert read_answer(one).startswith(b"HTTP/1.1 200")
        return time.monotonic() - began if is_cut(one, drip, pause_s=0.3) else float("inf")


def frames_of(field: Field, what: str, setting: Setting) -> tuple[bytes, bytes]:
    """The same over HTTP/2, behind a call that was answered."""
    first = head2(*ours(field, setting), end=True)
    second = head2(*ours(field, setting), (b"content-length", b"9000"), stream=3)
    begun, drip = {
        "a block over frames": (continued(0, stream=3), ContinuationFrame(3).serialize()),
        "a frame of a head": (second[:12], b"\x88"),
        "a body in frames": (second, data2(b"x", stream=3, end=False)),
    }[what]
    return OPENING + first + begun, drip


@pytest.mark.parametrize("setting", BOTH, ids=str)
@pytest.mark.parametrize("what", TRICKLES)
def test_a_trickle(
    field: Field, lasted: dict[tuple[str, Setting], float], what: str, setting: Setting
) -> None:
    """It ends when its time is over, though a byte comes ever and again."""
    assert 1.5 < lasted[what, setting] < CUT_S


@pytest.mark.parametrize(
    "said", [b"", b"CONNECT x"] if WHOLE else [b"CONNECT x"], ids=lambda said: repr(said)
)
@pytest.mark.parametrize("setting", PROXY if WHOLE else PROXY[:1], ids=str)
def test_eight_hundred_slow_connections(field: Field, setting: Setting, said: bytes) -> None:
    """Others are served beside them."""
    door = field.doors[setting.mode]
    with ExitStack() as stack, harmless(field, door):
        for _ in range(800):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", door.ports[0]), 20))
            one.sendall(said)
    assert not field.reached


LETTERS = "\u00e0.".encode() * 20_000
PUNYCODE = b"xn--mgba3a4fra." * 4_000
LONG_HOSTS: dict[str, bytes | None] = {
    "a Host of letters": b"GET / HTTP/1.1\r\nHost: " + LETTERS + b"\r\n\r\n",
    "a Host in punycode": b"GET / HTTP/1.1\r\nHost: " + PUNYCODE + b"\r\n\r\n",
    "a CONNECT in punycode": b"CONNECT " + PUNYCODE + b":443 HTTP/1.1\r\n\r\n",
    "a target in punycode": b"GET http://" + PUNYCODE + b"/ HTTP/1.1\r\n\r\n",
    "an authority of HTTP/2": None,
}


@pytest.mark.parametrize("setting", PROXY, ids=str)
@pytest.mark.parametrize("what", LONG_HOSTS)
def test_a_host_without_end(field: Field, setting: Setting, what: str) -> None:
    """It is refused before its letters are looked at: each took half a second of everybody's."""
    door = field.doors[setting.mode]
    said, before, spent = LONG_HOSTS[what], door.log.count("Traceback"), cpu_s(door.process.pid)
    for _ in range(5):
        if said is None:
            with inside(field, door, setting) as one:
                own = [
                    (n, PUNYCODE[:48_000] if n == b":authority" else v)
                    for n, v in ours(field, setting)
                ]
                assert http2(one, own, b"").startswith((b" broken", b"HTTP/2 400"))
        else:
            with open_at(door.ports[0]) as one:
                one.sendall(said)
                assert read_answer(one).startswith(b"HTTP/1.1 400")
    assert cpu_s(door.process.pid) - spent < 1.0
    assert door.log.count("Traceback") == before
    assert not field.reached


def cpu_s(pid: int) -> float:
    """The seconds of a processor that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_names_that_nobody_answers_for(field: Field) -> None:
    """Whoever asks for a dozen of them waits; another agent's name is looked up meanwhile."""
    door, asks = field.doors[Mode.OBSERVE], field.join("asks-for-names", Trust.UNVERIFIED)
    with ExitStack() as stack:
        for number in range(12):
            one = stack.enter_context(open_at(door.ports[0]))
            target = b"slow-%d.test:443" % number
            one.sendall(connect(field, target, asks))
            assert read_answer(one).startswith(b"HTTP/1.1 200")
            secure = stack.enter_context(secured(one, target.decode()[:-4]))
            secure.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % target)
        began = time.monotonic()
        with inside(field, door, Setting(Mode.OBSERVE), "http/1.1") as other:
            other.sendall(field.fill(GET))
            assert read_answer(other).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < SLOW_S / 2


def test_an_upstream_that_hangs(field: Field, mode: Mode) -> None:
    """Twenty calls wait for it, and no other one."""
    door = field.doors[mode]
    with field.of_the_hostile() as upstream, ExitStack() as stack:
        upstream.speaks("http/1.1")
        upstream.says, upstream.stays = b"", True
        waiting = [
            stack.enter_context(inside(field, door, Setting(mode), "http/1.1")) for _ in range(20)
        ]
        with harmless(field, door):
            for one in waiting:
                one.sendall(field.fill(b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\n\r\n"))
            until = time.monotonic() + CUT_S
            while len(upstream.heads) < 20 and time.monotonic() < until:
                time.sleep(0.02)
        assert len(upstream.heads) == 20
