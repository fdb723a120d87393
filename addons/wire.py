"""Reads a flow into the values of the core: one authority, and what the agent claimed about it."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, product

from mitmproxy import http
from mitmproxy.proxy.mode_specs import ReverseMode

from addons.destination import REDIRECTED
from addons.door import Claimed, Tunnel
from addons.handshake import is_handshake
from addons.headers import index_of
from addons.rpc import is_rpc
from interlock.calls import parse_authority
from interlock.calls.path import canonical_target
from interlock.minting.placeholder import may_offer, offered_in
from interlock.model import Authority, Evidence, Request

METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}")
ODD = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Methods that ask for the request back, or for a tunnel.
UNGOVERNED = ("TRACE", "TRACK", "CONNECT")
# By which servers take another method, or route by another path, than the first line says.
OVERRIDES = (
    *(b"x-http-method-override", b"x-http-method", b"x-method-override"),
    *(b"x-original-url", b"x-rewrite-url"),
)
DEFAULT_PORTS = {"https": 443, "http": 80}
_MCP = b"mcp-"
_CODED = b"transfer-encoding"


def _spellings(name: bytes) -> Iterator[bytes]:
    """A name with `-` or `_` wherever one stands: WSGI, PHP and others read them as the same."""
    return map(bytes, product(*(b"-_" if char == ord("-") else (char,) for char in name)))


_OVERRIDING = frozenset(chain.from_iterable(map(_spellings, OVERRIDES)))


def is_reverse(flow: http.HTTPFlow) -> bool:
    """True for a call in base-URL mode, whose destination our operator chose."""
    return type(flow.client_conn.proxy_mode) is ReverseMode


def _wanted(flow: http.HTTPFlow, tunnel: Tunnel | None) -> str:
    """The CONNECT target, or where a connection that was redirected to us was going."""
    if type(flow.client_conn.proxy_mode) in REDIRECTED:
        return str(Authority(*flow.client_conn.sockname[:2]))
    return str(tunnel.target) if tunnel and tunnel.target else ""


def authority_of(flow: http.HTTPFlow) -> Authority:
    """Where this request will go, in canonical form; raises ValueError for no possible host.

    `flow.request.host` is the truth that mitmproxy dials. Host, `:authority` and SNI are claims.
    """
    host = flow.request.host
    return parse_authority(f"[{host}]" if ":" in host else host, flow.request.port)


def request_of(flow: http.HTTPFlow, tunnel: Tunnel | None, doubt: str = "") -> Request:
    """Build the request that the governor judges; raises ValueError for no possible host."""
    request, headers = flow.request, flow.request.headers
    fields = headers.fields
    head = b" ".join(chain.from_iterable(fields)).lower()
    claimed = _claimed(flow, tunnel)
    return Request(
        method=request.method,
        scheme=request.scheme,
        authority=claimed.authority,
        path=canonical_target(request.path),
        body=request.raw_content or b"",
        # Two different values become one that nothing recognises.
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", "").strip().lower(),
        mcp_headers=_mcp_headers(fields) if _MCP in head else (),
        source_ip=flow.client_conn.peername[0],
        evidence=claimed.evidence,
        protocol=protocol_of(request),
        doubt=doubt or _odd_head(flow, head) or claimed.mismatch,
        offered=offered_in(fields) if may_offer(head) else (),
    )


def _claimed(flow: http.HTTPFlow, tunnel: Tunnel | None) -> Claimed:
    """What a request claims; most requests of a tunnel claim the same as the one before."""
    request, data, sni = flow.request, flow.request.data, flow.client_conn.sni
    where = data.scheme, data.host, data.port, data.http_version
    claims = (*where, data.authority, sni, index_of(data.headers).get(b"host"))
    if tunnel and tunnel.claimed and tunnel.claimed.claims == claims:
        return tunnel.claimed
    hosts = request.headers.get_all("host")
    authority = authority_of(flow)
    named = request.authority if request.is_http2 else ""
    evidence = Evidence(
        connect=_wanted(flow, tunnel),
        sni=_short(sni),
        host=_short(named or ", ".join(hosts)),
    )
    found = Claimed(claims, authority, evidence, _mismatch(flow, authority, hosts))
    if tunnel:
        tunnel.claimed = found
    return found


def _mcp_headers(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Every header whose name begins with `mcp-`, in lower case."""
    mine = [each for each in fields if each[0][: len(_MCP)].lower() == _MCP]
    return tuple([(_text(name).lower(), _text(value)) for name, value in mine])


def protocol_of(request: http.Request) -> str:
    """What is spoken over HTTP: `websocket`, `grpc`, or nothing of its own."""
    if is_rpc(request):
        return "grpc"
    return "websocket" if is_handshake(request) else ""


def _odd_head(flow: http.HTTPFlow, head: bytes) -> str:
    """Say what in a request's head servers are known to read differently (RFC 9110, 5.5).

    `head` is all that its fields say, in lower case.
    """
    request = flow.request
    is_framed = flow.client_conn.alpn == b"h2"
    if odd := _odd_line(request.data.method, request.data.http_version, is_framed):
        return odd
    overrides = not _OVERRIDING.isdisjoint(index_of(request.data.headers))
    if not (overrides or ODD.search(head) or _CODED in head):
        return ""
    for name, value in request.headers.fields:
        if ODD.search(value) or ODD.search(name):
            return f"ambiguous_head: a control character in {_short(name.decode('latin-1'))}"
        lower = name.lower()
        if lower in _OVERRIDING:
            named = name.decode("latin-1")
            return f"ambiguous_head: {named} would change the method or the path"
        if lower == _CODED and value.strip().lower() != b"chunked":
            return "ambiguous_head: a transfer coding other than chunked"
    return ""


@lru_cache(64)
def _odd_line(method: bytes, version: bytes, is_framed: bool) -> str:
    """Say what in the first line of a request is not as in a call of an API."""
    if not METHOD.fullmatch(method):
        return "ambiguous_head: the method is not an upper-case word"
    if (name := method.decode()) in UNGOVERNED:
        return f"ambiguous_head: {name} is no call of an API"
    said = version.decode("utf-8", "surrogateescape")
    if said not in (("HTTP/2.0",) if is_framed else ("HTTP/1.0", "HTTP/1.1")):
        return f"ambiguous_head: {said[:20]!r} is not an HTTP version"
    return ""


def _mismatch(flow: http.HTTPFlow, authority: Authority, hosts: list[str]) -> str:
    """Say which claim about the destination disagrees with where the request will go.

    Of a base URL, which our operator chose, an agent need know nothing.
    """
    if is_reverse(flow):
        return ""
    request = flow.request
    default_port = DEFAULT_PORTS.get(request.scheme, authority.port)
    if len(hosts) > 1:
        return "authority_mismatch: there is more than one Host header"
    claims = [("Host", host, default_port) for host in hosts]
    if request.authority:
        claims.append((":authority", request.authority, default_port))
    if flow.client_conn.sni:
        claims.append(("SNI", flow.client_conn.sni, authority.port))
    for name, claim, port in claims:
        try:
            said = parse_authority(claim, port)
        except ValueError as e:
            return f"authority_mismatch: {name}: {e}"
        if said != authority:
            return f"authority_mismatch: {name} says {said}, the call goes to {authority}"
    return ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _short(claim: str | None) -> str:
    return (claim or "")[:255].encode("ascii", "backslashreplace").decode()
