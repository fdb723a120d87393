"""A plain head is what mitmproxy reads it as, and any other is left to it."""

from typing import Any

import pytest
from h11._receivebuffer import ReceiveBuffer
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.net.http import http1

from addons.heads import answer_in, request_in

LINES = [b"GET /a HTTP/1.1", b"POST /?a=b HTTP/1.1", b"HTTP/1.1 200 OK", b"HTTP/1.1 204 "]
FIELDS = [
    b"Host: api.example",
    b"x:",
    b"x:\ty \x0b",
    b"a: b: c",
    b"A: \0\xff",
    b":",
    b"a :b",
    b" a: b",
]
PIECES = [*LINES, *FIELDS, b"\r\n", b"\n", b"\r", b" ", b"\x0c", b"HTTP/1.1", b"/", b"200"]
WIRES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
PLAIN = st.tuples(st.sampled_from(LINES), st.lists(st.sampled_from(FIELDS), max_size=4)).map(
    lambda said: b"\r\n".join((said[0], *said[1], b"", b"body"))
)


@given(st.one_of(WIRES, PLAIN))
@example(b"GET / HTTP/1.1\r\n\r\n")
@example(b"HTTP/1.1 200  OK\r\n\r\n")
@example(b"HTTP/1.1 200\r\n\r\n")
@example(b"GET  / HTTP/1.1\r\n\r\n")
@example(b"GET /\x0b HTTP/1.1\r\n\r\n")
def test_a_head_is_what_mitmproxy_reads(wire: bytes) -> None:
    """Whatever is before it, in it, and behind it."""
    for ours, theirs in (
        (request_in, http1.read_request_head),
        (answer_in, http1.read_response_head),
    ):
        if (found := ours(wire)) is None:
            continue
        message, end = found
        buffer = ReceiveBuffer()
        buffer += wire
        lines = [bytes(line) for line in buffer.maybe_extract_lines() or []]
        assert _plain(message) == _plain(theirs(lines))
        assert wire[end:] == bytes(buffer)


@pytest.mark.parametrize("line", [LINES[0], LINES[1]])
def test_plain_requests_are_read(line: bytes) -> None:
    """Or nothing of this would be of use."""
    found = request_in(line + b"\r\nhost: a\r\nX-y:  z \r\n\r\nbody")
    assert found
    assert found[0].headers.fields == ((b"host", b"a"), (b"X-y", b"z"))


@pytest.mark.parametrize("line", [LINES[2], LINES[3]])
def test_plain_answers_are_read(line: bytes) -> None:
    """The same."""
    found = answer_in(line + b"\r\nServer: a\r\n\r\n")
    assert found
    assert found[0].headers.fields == ((b"Server", b"a"),)


def test_a_long_head_takes_no_longer_than_it_is() -> None:
    """Nothing in it is looked at twice; it is told only where it ends."""
    head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000
    assert request_in(head) is None
    assert request_in(head + b"\r\n")


def _plain(message: Any) -> dict[str, Any]:
    state: dict[str, Any] = message.get_state()
    return {name: value for name, value in state.items() if name != "timestamp_start"}
