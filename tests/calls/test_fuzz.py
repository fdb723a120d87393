"""Whatever an agent or a server sends: nothing raises, nothing has two readings, bounds hold.

`make fuzz` tries a great many more examples of the same than `make test`.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.calls import describe, parse_authority
from interlock.calls.body import parse_json
from interlock.calls.events import Events
from interlock.calls.mcp import METHODS
from interlock.calls.path import canonical_target, path_doubt
from interlock.calls.sniff import key_pattern
from interlock.model import Authority, Call, Request, Server

HOST = Authority("mcp.example.com", 443)
SERVER = Server("files", "https://mcp.example.com/mcp")
KEYS = st.sampled_from(
    ["jsonrpc", "JSONRPC", "id", "method", "Method", "params", "result", "error", "name", "uri"]
) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | VALUES,
        "id": st.integers() | st.text(max_size=4) | VALUES,
        "method": st.sampled_from(sorted(METHODS)) | VALUES,
        "params": st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
        "result": VALUES,
    },
)
BODIES = st.one_of(
    MESSAGES.map(lambda m: json.dumps(m).encode("utf-8", "surrogatepass")),
    st.lists(MESSAGES, max_size=3).map(lambda m: json.dumps(m).encode()),
    MESSAGES.map(lambda m: json.dumps(m).encode("utf-16")),
    st.binary(max_size=64),
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["mcp-method", "mcp-name", "mcp-session-id", "mcp-protocol-version"]),
        st.sampled_from(["tools/call", "=?base64?eA==?=", "=?base64?/w==?=", "x"]),
    ),
    max_size=2,
)


def parts(call: Call) -> list[Call]:
    """Every message of a call."""
    return [call, *call.batch]


@given(body=BODIES, headers=HEADERS, known=st.booleans(), method=st.sampled_from(["POST", "GET"]))
def test_a_message_is_described_or_in_doubt(
    body: bytes, headers: list[tuple[str, str]], known: bool, method: str
) -> None:
    """At the endpoint of a server nothing passes that is neither; what is read is what is there."""
    request = Request(
        method, "https", HOST, "/mcp", body, "application/json", mcp_headers=tuple(headers)
    )
    call = describe(request, None, SERVER if known else None)
    assert call.mcp or not known
    assert all(len(str(part.resource)) < 4096 for part in parts(call))
    if call.doubt or not call.mcp or method == "GET":
        return
    said: Any = json.loads(body)
    said = said if isinstance(said, list) else [said]
    assert [m.get("method", "answer") for m in said] == [p.mcp.method for p in parts(call) if p.mcp]
    for message, part in zip(said, parts(call), strict=True):
        if part.action == "call_tool":
            server = "files" if known else "mcp.example.com"
            assert part.resource.id == f"{server}/{message['params']['name']}"


@given(value=VALUES)
def test_json_that_is_accepted_reads_the_same_everywhere(value: Any) -> None:
    """What the strict parser takes, the lenient one takes for the same."""
    text = json.dumps(value)
    try:
        read = parse_json(text.encode())
    except ValueError:
        return
    assert read == json.loads(text)


@given(key=st.sampled_from(["jsonrpc", "tools", "method"]), seed=st.randoms(use_true_random=False))
def test_a_key_is_found_however_it_is_spelled(key: str, seed: Any) -> None:
    """Escaped letter by letter, in any case."""
    spelled = "".join(
        seed.choice([letter, letter.upper(), f"\\u{ord(letter):04x}", f"\\u{ord(letter):04X}"])
        for letter in key
    )
    assert key_pattern(key).search(f'{{"{spelled}" : 1}}'.encode())
    assert not key_pattern(key).search(json.dumps({"x": f'{{"{key}": 1}}'}).encode())


@given(target=st.text(max_size=40) | st.text("/.%2fFeEcC0aA;\\?#~", max_size=30).map("/{}".format))
def test_a_path_has_one_normal_form(target: str) -> None:
    """Nothing raises, and the normal form is its own."""
    once = canonical_target(target)
    assert canonical_target(once) == once
    assert path_doubt(target).isprintable()


@given(text=st.text(max_size=40) | st.text("0123456789.:[]xXaf%-_", max_size=24))
def test_an_authority_has_one_normal_form(text: str) -> None:
    """Or it is refused."""
    try:
        once = parse_authority(text)
    except ValueError:
        return
    assert parse_authority(str(once)) == once


@given(
    events=st.lists(st.sampled_from([b"data: a\n\n", b": hi\r\n\r\n", b"id: 1\rdata: b\r\r"])),
    tail=st.binary(max_size=12),
    size=st.integers(1, 9),
)
def test_a_stream_in_pieces_is_the_stream(events: list[bytes], tail: bytes, size: int) -> None:
    """Unchanged events leave byte for byte, and none is lost or seen twice."""
    whole = b"".join(events) + tail
    seen: list[bytes] = []
    stream = Events(lambda data: seen.append(data))
    pieces = [stream.feed(whole[at : at + size]) for at in range(0, len(whole), size)]
    assert b"".join([*pieces, stream.flush()]) == whole
    together: list[bytes] = []
    once = Events(lambda data: together.append(data))
    assert once.feed(whole) + once.flush() == whole
    assert seen == together


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_changed_event_keeps_its_id(size: int) -> None:
    """Only its data is another."""
    stream = Events(lambda data: b"new" if data == b"old\nlines" else None)
    whole = b"data: x\n\nid: 7\nevent: message\ndata: old\ndata: lines\n\n"
    got = b"".join(stream.feed(whole[at : at + size]) for at in range(0, len(whole), size))
    assert got == b"data: x\n\nid: 7\nevent: message\ndata: new\n\n"
