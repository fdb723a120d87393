"""Reads HTTP/1 messages with trailers, which mitmproxy gives up on, and drops what stands there.

A recipient may discard trailers (RFC 9110, 6.5.1), and an agent was never told of any: we ask for
none, and take `Trailer` off the answer.
"""

from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy.proxy.layers.http import _http1


class WithoutTrailers(ChunkedReader):
    """Chunks, and the end of the message without what is said behind the last of them."""

    def __call__(self, buffer: Any) -> Any:
        """Read the next piece; raises h11.ProtocolError for trailers that are none."""
        event = super().__call__(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    @classmethod
    def take_over(cls) -> None:
        """Have every chunked body be read by one of these."""
        module: Any = _http1
        module.ChunkedReader = cls
