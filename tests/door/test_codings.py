"""Answers in a coding that we did not ask for: decoded and scrubbed, or refused."""

import base64
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli
import httpx
import pytest
import zstandard

from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from tests.door.raw import Scripted, bound, exchanged, tunnelled
from tests.door.world import OPENAI_KEY, TRUSTED, World

STARS = "*" * len(OPENAI_KEY)
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture(scope="module")
def narrow(_world: World) -> Iterator[FrontDoor]:
    """A front door that takes requests of a MiB at most."""
    with _world.door(Mode.OBSERVE, "--set", "body_size_limit=1m", reverse=()) as door:
        yield door


def encoded(body: bytes, codings: str) -> bytes:
    """Apply codings in their order."""
    for name in codings.split(", "):
        body = ENCODERS[name](body)
    return body


def answer(codings: str, body: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer that says its coding, and whose body is what is given."""
    lines = [b"HTTP/1.1 " + status, *more]
    lines += [b"Content-Encoding: " + codings.encode()] if codings else []
    lines += [b"Content-Length: %d" % len(body), b"Content-Type: text/plain"]
    return b"\r\n".join([*lines, b"", body])


def echo(codings: str) -> Callable[[bytes], bytes]:
    """An answer that gives the key back, encoded."""

    def build(key: bytes) -> bytes:
        body = encoded(b"your key is " + key + b", take care", codings)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest())
        return answer(codings, body, b"Content-MD5: " + digest)

    return build


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("codings", [*ENCODERS, "gzip, br", "deflate, zstd, gzip"])
def test_a_coded_answer_arrives_decoded_and_scrubbed(
    world: World, mode: Mode, codings: str, http2: bool
) -> None:
    """Whoever speaks what: no coding, no length and no digest of bytes that do not come."""
    with (
        bound(world, echo(codings)) as upstream,
        world.client(mode, http1=not http2, http2=http2) as client,
    ):
        got = client.get(f"https://{upstream.authority}/v1/models")
    assert (got.status_code, got.text) == (200, f"your key is {STARS}, take care")
    assert got.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert not {"content-encoding", "content-length", "content-md5"} & set(got.headers)
    assert b"accept-encoding: identity" in upstream.heads[0].lower()


def test_a_coded_answer_is_read_in_base_url_mode_too(world: World) -> None:
    """The connection to the agent stays usable: the end of the body is marked."""
    lines = ["GET /v1/models HTTP/1.1", "Host: x", f"Authorization: Bearer {world.keys[TRUSTED]}"]
    request = "\r\n".join([*lines, "", ""]).encode()
    with (
        bound(world, echo("gzip")) as upstream,
        world.door(Mode.ENFORCE, reverse=(f"https://{upstream.authority}",)) as door,
    ):
        got = exchanged(door.ports[1], door.ca, request, wait=3)
    assert STARS.encode() in got
    assert got.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        pytest.param("compress", b"text", id="an unknown coding"),
        pytest.param("br", gzip.compress(b"text"), id="a lie"),
        pytest.param("gzip", b"plain text", id="no coding at all"),
        pytest.param("gzip", gzip.compress(b"text" * 99)[:-9], id="one that is cut off"),
        pytest.param("gzip, gzip, gzip, gzip", b"text", id="four of them"),
        pytest.param("br", brotli.compress(bytes(200 << 20)), id="329 bytes that make 200 MiB"),
        pytest.param("zstd", zstandard.compress(bytes(200 << 20)), id="a bomb of zstd"),
        pytest.param(
            "gzip, br", brotli.compress(gzip.compress(bytes(64 << 20))), id="a stacked bomb"
        ),
    ],
)
def test_what_cannot_be_decoded_is_broken_off(
    world: World, mode: Mode, codings: str, body: bytes
) -> None:
    """502 with the reason, or, where some of it was on its way, a connection that breaks."""
    with bound(world, answer(codings, body)) as upstream, world.client(mode) as client:
        before, size = len(world.decisions()), 0
        try:
            with client.stream("GET", f"https://{upstream.authority}/v1/models") as got:
                for piece in got.iter_raw():
                    size += len(piece)
            assert got.status_code == 502
        except httpx.RemoteProtocolError:
            assert size <= 2 << 20
        (row,) = world.decisions()[before:]
    assert "cannot be decoded" in world.outcome(row["decision_id"])["error"]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"404 Not Found"])
def test_an_answer_without_a_body_says_no_coding(world: World, method: str, status: bytes) -> None:
    """HEAD, 204 and 304 have nothing to decode; what they say is true of what we would send."""
    body = b"" if method == "HEAD" or status[:1] != b"4" else gzip.compress(b"not here")
    length = b"Content-Length: 9999" if method == "HEAD" else b"X-Length: none"
    coded = b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Encoding: gzip", length, b"", b""])
    if body:
        coded = answer("gzip", body, status=status)
    with bound(world, coded) as upstream, world.client(Mode.OBSERVE) as client:
        got = client.request(method, f"https://{upstream.authority}/v1/models")
    assert got.status_code == int(status[:3])
    assert got.text == ("not here" if body else "")
    assert not {"content-encoding", "content-length"} & set(got.headers)


def test_compressed_bytes_that_do_not_say_so_pass_unchanged(world: World, mode: Mode) -> None:
    """A file is a file; what is compressed inside cannot be scrubbed, which the page says."""
    packed = gzip.compress(b"a file")
    with bound(world, answer("", packed)) as upstream, world.client(mode) as client:
        got = client.get(f"https://{upstream.authority}/v1/models")
    assert got.content == packed
    assert got.headers["content-length"] == str(len(packed))


def test_an_answer_of_a_host_without_secrets_keeps_its_coding(world: World) -> None:
    """Nothing is decoded that nobody has to read."""
    packed = gzip.compress(b"hello")
    with Scripted(world, answer("gzip", packed)) as upstream:
        got = tunnelled(world, Mode.OBSERVE, upstream.authority)
    assert b"Content-Encoding: gzip" in got
    assert got.endswith(packed)


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "without a length"])
def test_a_large_answer_passes_and_is_not_kept(
    world: World, narrow: FrontDoor, chunked: bool
) -> None:
    """More than body_size_limit: all of it arrives, and memory does not grow with it."""
    size = 80 << 20
    framing = b"Connection: close" if chunked else b"Content-Length: %d" % size
    head = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\nContent-Type: application/json\r\n\r\n"
    with bound(world, head + bytes(size)) as upstream, world.through(narrow) as client:
        before = peak(narrow.process.pid)
        with client.stream("GET", f"https://{upstream.authority}/v1/models") as got:
            assert sum(map(len, got.iter_raw())) == size
        assert peak(narrow.process.pid) - before < 40 << 20


def peak(pid: int) -> int:
    """The most bytes of memory that a process has had."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        pytest.skip("needs /proc, which Linux has")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


def test_no_answer_offers_a_way_around(world: World, mode: Mode) -> None:
    """`Alt-Svc` would lead an agent to HTTP/3, which nobody governs."""
    with bound(world, answer("", b"ok", b'Alt-Svc: h3=":443"')) as upstream:
        got = tunnelled(world, mode, upstream.authority)
    assert got.endswith(b"ok")
    assert b"alt-svc" not in got.lower()


class TestARequestOutOfBounds:
    """A refused call says which limit, and the upstream receives nothing."""

    def test_too_many_headers(self, world: World, mode: Mode) -> None:
        """300 of them where 256 are allowed."""
        with world.client(mode) as client:
            got = client.get(
                f"{world.openai}/v1/models", headers={f"x-{i}": "" for i in range(300)}
            )
        assert got.status_code == 431
        assert "interlock_header_count" in got.text
        assert world.received() == []

    @pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
    def test_too_large_a_body(self, world: World, narrow: FrontDoor, http2: bool) -> None:
        """The answer comes before the body has been sent to its end."""
        with world.through(narrow, http1=not http2, http2=http2) as client:
            got = client.post(f"{world.openai}/v1/files", content=bytes((1 << 20) + 1))
        assert got.status_code == 413
        assert "body_size_limit" in got.text
        assert world.received() == []
