"""A head is looked at closely only where it may say what is looked for, and then all the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.test import tflow

from addons.door import Tunnel
from addons.wire import ODD, OVERRIDES, request_of
from interlock.minting.placeholder import new_placeholder, offered_in
from interlock.model import Authority

TOKEN = new_placeholder().encode()
NAMES = st.sampled_from(
    [
        *(b"accept", b"MCP-Method", b"mcp-name", b"X-HTTP-Method", b"x-method-override"),
        *(b"X_HTTP_Method-Override", b"X-Original-URL", b"x_rewrite_url", b"x-url", b"a_method"),
        *(b"Transfer-Encoding", b"authorization", b"Authorization", b"x-api-key", b"x-\x01"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"", b"plain", b"chunked", b"CHUNKED", b"gzip", b"a\x00b", b"tab\tin", b"basic"),
        *(b"BASIC YTpi", b"bearer " + TOKEN, TOKEN, TOKEN.upper(), b"mcp-method", b"-method"),
    ]
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(tuple)


@given(FIELDS)
def test_a_head_says_the_same_however_it_is_looked_at(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Field by field, as here, or all at once first."""
    flow = tflow.tflow()
    flow.request.method, flow.request.headers.fields = "GET", fields
    found = request_of(flow, None)
    assert found.offered == offered_in(fields)
    assert found.mcp_headers == tuple(
        (name.decode().lower(), value.decode())
        for name, value in fields
        if name.lower().startswith(b"mcp-")
    )
    assert found.doubt.partition(" ")[2] == _first_odd(fields)


NAMED = st.sampled_from(["address", "ADDRESS:22", "address:23", "other:22", "[::1]:22", "a b"])
CLAIMS = st.tuples(
    *(st.lists(NAMED, max_size=2), st.sampled_from(["", "address:22", "other"])),
    *(st.sampled_from([None, "address", "other"]), st.sampled_from(["HTTP/1.1", "HTTP/2.0"])),
    *(st.sampled_from(["http", "https"]), st.sampled_from([22, 443])),
)


@given(st.lists(CLAIMS, max_size=5))
def test_what_is_claimed_in_a_tunnel_is_looked_at_anew_where_it_is_other(claims: list[Any]) -> None:
    """Whatever was claimed before it."""
    known = Tunnel(Authority("address", 22))
    for hosts, named, sni, version, scheme, port in claims:
        flow = tflow.tflow()
        flow.request.http_version, flow.request.scheme = version, scheme
        flow.request.authority, flow.request.data.port = named, port
        flow.request.headers.fields = tuple((b"Host", host.encode()) for host in hosts)
        flow.client_conn.sni = sni
        assert request_of(flow, known) == request_of(flow, Tunnel(known.target))


def _first_odd(fields: tuple[tuple[bytes, bytes], ...]) -> str:
    """What is said of the first field that is odd."""
    for name, value in fields:
        if ODD.search(name + value):
            return f"a control character in {name.decode()}"
        if name.lower().replace(b"_", b"-") in OVERRIDES:
            return f"{name.decode()} would change the method or the path"
        if name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            return "a transfer coding other than chunked"
    return ""
