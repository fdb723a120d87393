"""Leaves out what layers do only until they know what they carry."""

from typing import Any

from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.tunnel import TunnelState

_of_tls: Any = tls.TLSLayer.handle_event
_of_client: Any = HttpClient.handle_event


def take_over() -> None:
    """Have all TLS, and all connections to upstreams, be passed through so."""
    layered: Any = tls.TLSLayer
    layered.handle_event = through_tls
    client: Any = HttpClient
    client.handle_event = through_client


def through_tls(tunnel: Any, event: events.Event) -> Any:
    """`TunnelLayer.handle_event`: established, it waits for nothing."""
    if tunnel.tunnel_state is not TunnelState.OPEN or tunnel._paused:
        return _of_tls(tunnel, event)
    if not isinstance(event, events.ConnectionEvent) or event.connection != tunnel.conn:
        return tunnel.event_to_child(event)
    if type(event) is events.DataReceived:
        return tunnel.receive_data(event.data)
    return _of_tls(tunnel, event)


def through_client(client: Any, event: events.Event) -> Any:
    """`HttpClient.handle_event`: connected, it is what it speaks."""
    inside = client.__dict__.get("child_layer")
    is_waiting = inside is None or client._paused
    return _of_client(client, event) if is_waiting else inside.handle_event(event)


def inside_of(found: Any) -> Any:
    """What is in a tunnel: past all that was decided, and TLS to an upstream that nobody dialled.

    Whoever is in there dials upstreams of his own, and TLS is not dialled any more once the agent's
    side of it is established, which it is where it says what comes next.
    """
    found = _decided(found)
    inner = _decided(found.child_layer) if isinstance(found, tls.ServerTLSLayer) else None
    is_idle = inner and found.tunnel_state is TunnelState.INACTIVE
    is_open = isinstance(inner, tls.ClientTLSLayer) and inner.tunnel_state is TunnelState.OPEN
    return inner if is_idle and is_open else found


def _decided(found: Any) -> Any:
    """The layer that was decided on, once it has been told all that came before."""
    while isinstance(found, layer.NextLayer) and found._handle:
        found = found.layer
    return found
