"""The right of one request to leave, and the checks at the wire that it is still that request."""

from dataclasses import dataclass, field

from mitmproxy import connection, ctx, http

from broker.quick import quick
from interlock.model import Authority
from interlock.verdict import Verdict


class Refused(Exception):
    """The request must not leave on this connection; the message says why."""


@quick
@dataclass(frozen=True, slots=True)
class Clearance:
    """The right of one request to leave, once: given by the gate, taken at the wire.

    `claim` is `:authority` as it goes out, with `fields` beside it. They and `body` are the very
    objects that were judged, so that the wire can tell cheaply whether they still are what leaves.
    """

    verdict: Verdict
    authority: Authority
    scheme: str
    claim: str
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    method: str
    path: str
    body: bytes


def check_unchanged(request: http.Request, clearance: Clearance) -> None:
    """Raise Refused when another addon changed what was judged, however it did so."""
    body = request.raw_content or b""
    same = (
        request.scheme == clearance.scheme
        and request.host == clearance.authority.host
        and request.port == clearance.authority.port
        and request.authority == clearance.claim
        and request.method == clearance.method
        and request.path == clearance.path
        and (body is clearance.body or body == clearance.body)
        and not request.trailers
        and (request.headers.fields is clearance.fields or _same_head(request.headers, clearance))
    )
    if not same:
        raise Refused("the request was changed after it was judged")


def _same_head(headers: http.Headers, clearance: Clearance) -> bool:
    """Say whether fields that are others say the same of the destination and of the body."""
    return (
        headers.get_all("host") == http.Headers(clearance.fields).get_all("host")
        and headers.get("content-length", "0") == str(len(clearance.body))
        and "transfer-encoding" not in headers
    )


def is_verified(server: connection.Server, authority: Authority) -> bool:
    """True when TLS is up, and its certificate was verified for the authority that was judged.

    mitmproxy verifies the certificate for `sni`; `ssl_insecure`, which would skip that, is
    refused by our options and looked at once more here.
    """
    return (
        server.tls_established
        and not ctx.options.ssl_insecure
        and server.sni == authority.host
        and server.address == (authority.host, authority.port)
    )
