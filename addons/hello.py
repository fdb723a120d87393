"""Waits for as much of an agent's first words as tell whether they are TLS.

mitmproxy takes one byte or two of a ClientHello, which a network may deliver by themselves, for
plain HTTP, and waits for the end of its head; the agent waits for its handshake.
"""

from typing import Any

from mitmproxy.addons import next_layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer

# Of a record of a handshake (RFC 8446, 5.1); no request begins so.
BEGINNINGS = (b"\x16", b"\x16\x03")

_next_layer: Any = next_layer.NextLayer._next_layer


def take_over() -> None:
    """Have it be waited for wherever a layer is chosen."""
    chooser: Any = next_layer.NextLayer
    chooser._next_layer = choose


def choose(chooser: Any, context: Context, from_agent: bytes, from_server: bytes) -> Layer | None:
    """`NextLayer._next_layer`; raises NeedsMoreData while it cannot be told."""
    if from_agent in BEGINNINGS:
        raise next_layer.NeedsMoreData
    found: Layer | None = _next_layer(chooser, context, from_agent, from_server)
    return found
