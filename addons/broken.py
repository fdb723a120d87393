"""Calls that do not come through, told in our own words and in a shape that the agent reads.

mitmproxy's words would quote the upstream's bytes, and the secret with them, to the agent, the log
and the ledger.
"""

from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from addons import refusals
from addons.door import Door
from addons.ending import OURS
from addons.rpc import in_rpc, is_rpc

# What we answer ourselves when mitmproxy gives up.
STATUSES = {
    ErrorCode.CONNECT_FAILED: 502,
    ErrorCode.GENERIC_SERVER_ERROR: 502,
    ErrorCode.REQUEST_TOO_LARGE: 413,
}


def broken(stream_id: int, why: str) -> ResponseProtocolError:
    """An answer that does not come through."""
    return ResponseProtocolError(stream_id, OURS + why, ErrorCode.GENERIC_SERVER_ERROR)


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
    # Of a request that was not read to its end the rest is still to come: hang up.
    unread = [event] if event.code is ErrorCode.REQUEST_TOO_LARGE else []
    return [
        ResponseHeaders(event.stream_id, answer, end_stream=not answer.raw_content),
        ResponseData(event.stream_id, answer.raw_content or b""),
        ResponseEndOfMessage(event.stream_id),
        *unread,
    ]
