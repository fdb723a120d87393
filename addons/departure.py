"""The head of a request as it leaves: framed in one way, and with tokens in place of keys."""

from collections.abc import Container, Mapping
from functools import lru_cache

from mitmproxy import http

from addons.framing import options_of
from addons.offer import KEY_SLOTS, Field
from broker import carrier
from broker.recipes.client_certificate import CERTIFICATE_SLOT
from broker.recipes.standin import MINTED_SLOT
from interlock.verdict import Verdict

# Headers of ours, for a token whose credential goes into no key slot as a whole.
OWN_SLOTS = (MINTED_SLOT, CERTIFICATE_SLOT)
# How long a body is we say ourselves. We have answered `Expect`, and an interim answer of the
# upstream would be taken for the final one.
_FRAMING = frozenset({b"transfer-encoding", b"trailer", b"expect"})
# Methods of which a server expects a length even where it is 0 (RFC 9110, 8.6).
_WITH_BODY = ("POST", "PUT", "PATCH")
# What cannot be read whole, and in no coding, cannot be scrubbed.
_PARTIAL = frozenset({b"te", b"range", b"if-range"})
_KEYS = frozenset({slot.encode() for slot in KEY_SLOTS})


def depart(request: http.Request, verdict: Verdict, body: bytes, *, readable: bool) -> None:
    """Give a request the head that it leaves with.

    Its framing is the one that no two parsers read differently (RFC 9112, 6). The body is complete
    here, so its length is known. HTTP/2 needs no length and HTTP/1.1 does: forwarded without one,
    a body would be read as the next request, which nobody judged.

    `readable` asks for a whole answer in no coding. A token goes where the credential will be, in
    place of every copy that the agent sent.
    """
    tokens = {capability.recipe.slot: capability.token for capability in verdict.capabilities}
    judged = verdict.call.request
    protocol = judged.protocol
    has_length = bool(not request.stream and (body or judged.method in _WITH_BODY))
    anew: dict[bytes, bytes] = {}
    if has_length:
        anew[b"content-length"] = b"%d" % len(body)
    if readable:
        anew[b"accept-encoding"] = b"identity"
    for slot, token in tokens.items():
        anew[slot.encode()] = carrier(slot, token).encode()
    if tokens and b"close" in options_of(request.headers):
        anew[b"connection"] = b"close"
    match protocol:
        case "websocket":
            anew |= {b"connection": b"Upgrade", b"upgrade": b"websocket"}
        case "grpc":
            anew |= {b"te": b"trailers", b"grpc-accept-encoding": b"identity"}
    gone = _gone(has_length, readable, tuple(tokens), protocol)
    request.headers.fields = _without(request.headers.fields, gone, anew)
    request.trailers = None
    if request.authority and not request.is_http2:
        request.authority = ""


@lru_cache(256)
def _gone(
    has_length: bool, readable: bool, slots: tuple[str, ...], protocol: str
) -> frozenset[bytes]:
    """The names of what does not leave, but for what is said anew."""
    gone = _FRAMING
    if not has_length:
        gone |= {b"content-length"}
    if readable:
        gone |= _PARTIAL
    for slot in slots:
        # The placeholder of a minted token stays where it is: its place is where the token will
        # go. So does what an agent sends beside a client certificate, which is no header.
        gone |= {b"connection"} | (frozenset() if slot in OWN_SLOTS else _KEYS)
    if protocol == "websocket":  # and nothing else: no extension, so that messages can be read
        gone |= {b"sec-websocket-extensions"}
    return gone


def _without(
    fields: tuple[Field, ...], gone: Container[bytes], anew: Mapping[bytes, bytes]
) -> tuple[Field, ...]:
    """The fields but for some; others said anew, where they stood first or else at the end.

    Names that a server may take for one are one (CGI and WSGI drop the difference of `-` and `_`).
    """
    left, kept = dict(anew), []
    for each in fields:
        name = each[0].lower()
        if name in left and name not in gone:
            kept.append((each[0], left.pop(name)))
            continue
        meant = name.replace(b"_", b"-")
        if meant not in gone and meant not in anew:
            kept.append(each)
    return (*kept, *left.items())
