"""Leaves out what layers do only until they know what they carry."""

from typing import Any

from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.tunnel import TunnelState

_of_client: Any = HttpClient.handle_event


def take_over() -> None:
    """Have all connections to upstreams be passed through so."""
    client: Any = HttpClient
    client.handle_event = through_client


def through_client(client: Any, event: events.Event) -> Any:
    """`HttpClient.handle_event`: connected, it is what it speaks."""
    inside = client.__dict__.get("child_layer")
    if inside is None or client._paused:
        return _of_client(client, event)
    client.handle_event = inside.handle_event  # from now on, and not asked for again
    return inside.handle_event(event)


def open_tls(found: Any) -> layer.Layer | None:
    """The TLS of an agent's side in a tunnel, once it is established; None before.

    Until then it may have TLS to the upstream dialled, which it is in. Nobody does after that: what
    is in the tunnel dials upstreams of its own.
    """
    outer = beneath(found)
    inner = beneath(outer.child_layer) if isinstance(outer, tls.ServerTLSLayer) else None
    is_open = isinstance(inner, tls.ClientTLSLayer) and inner.tunnel_state is TunnelState.OPEN
    return inner if is_open and outer.tunnel_state is TunnelState.INACTIVE else None


def beneath(found: Any) -> Any:
    """The first layer that does more than pass on what it is told, all that came before included.

    A layer of mitmproxy's does no more once its place was taken by the one that was decided on.
    """
    while not found._paused:
        taken = getattr(found._handle_event, "__self__", found)
        if taken is found:
            break
        found = taken
    return found
