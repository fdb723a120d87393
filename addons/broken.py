"""Calls that do not come through, told in our own words and in a shape that the agent reads.

mitmproxy's words would quote the upstream's bytes, and the secret with them, to the agent, the log
and the ledger.
"""

from h2.errors import ErrorCodes
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import Http2Server

from addons import refusals
from addons.door import Door
from addons.ending import OURS
from addons.rpc import in_rpc, is_rpc

# Why a call ends whose agent had more to say.
ANSWERED = OURS + "the answer is complete"
# What we answer ourselves when mitmproxy gives up.
STATUSES = {
    ErrorCode.CONNECT_FAILED: 502,
    ErrorCode.GENERIC_SERVER_ERROR: 502,
    ErrorCode.REQUEST_TOO_LARGE: 413,
}


def broken(stream_id: int, why: str) -> ResponseProtocolError:
    """An answer that does not come through."""
    return ResponseProtocolError(stream_id, OURS + why, ErrorCode.GENERIC_SERVER_ERROR)


def hang_up(client: layer.Layer, event: ResponseProtocolError) -> layer.CommandGenerator[bool]:
    """Stop an upload over HTTP/2 whose answer is complete; False where it takes another way.

    NO_ERROR says that the answer stands (RFC 9113, 8.1); mitmproxy would say INTERNAL_ERROR,
    after which a client of gRPC forgets what it was told.
    """
    if not isinstance(client, Http2Server):
        return False
    if not client.is_closed(event.stream_id):
        client.h2_conn.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)
        yield commands.SendData(client.conn, client.h2_conn.data_to_send())
    return True


def explained(
    door: Door, stream: HttpStream | None, event: ResponseProtocolError
) -> list[events.Event]:
    """An error, as an answer that the agent's SDK can read.

    Only where nothing of an answer has left yet; else the connection must break off.
    """
    if stream is None or event.code not in STATUSES or stream.flow.response:
        return [event]
    answer = door.refused.pop(stream.flow, None)
    if answer is None:
        answer = refusals.broken_off(stream.flow, event.message, status=STATUSES[event.code])
        if is_rpc(stream.flow.request):
            answer = in_rpc(answer)
    if stream.flow.request.method == "HEAD":
        answer.data.content = b""
    # Of a request that was not read to its end the rest is still to come: hang up.
    unread = [event] if event.code is ErrorCode.REQUEST_TOO_LARGE else []
    return [
        ResponseHeaders(event.stream_id, answer, end_stream=not answer.raw_content),
        ResponseData(event.stream_id, answer.raw_content or b""),
        ResponseEndOfMessage(event.stream_id),
        *unread,
    ]
