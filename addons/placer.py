"""Puts the wire boundary in place of every HTTP layer that mitmproxy chooses."""

from collections.abc import Iterable
from typing import Any

from mitmproxy import ctx, tls
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.http import HttpLayer

from addons import (
    established,
    framing,
    handler,
    hello,
    http1,
    http2,
    pausing,
    records,
    writing,
)
from addons.client_certificate import show
from addons.door import Door
from addons.inject import BoundaryLayer
from addons.parent import ParentTunnel
from addons.proofs import ask


class Inject:
    """Puts the boundary in place of every HTTP layer."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._placer = Placer(door)

    def configure(self, _: Iterable[str]) -> None:
        """Take hold of every connection before the first: servers listen before `running`."""
        if not ctx.master.addons.get("placer"):
            ctx.master.addons.add(self._placer)
            ParentTunnel.take_over(self._door)
            hello.take_over()
            http1.take_over()
            framing.take_over()
            writing.take_over()
            http2.take_over(self._door)
            handler.take_over()
            records.take_over()
            established.take_over()
            pausing.take_over()

    def running(self) -> None:
        """Go to the end of the chain: the layer must have been chosen when we replace it."""
        ctx.master.addons.remove(self._placer)
        ctx.master.addons.add(self._placer)

    def done(self) -> None:
        """Leave with the script."""
        if ctx.master.addons.get("placer"):
            ctx.master.addons.remove(self._placer)


class Placer:
    """Turns the HTTP layer that mitmproxy chose into our boundary, and sees to its connections."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Ask the agent for a client certificate."""
        ask(self._door, data)

    def tls_start_server(self, data: tls.TlsData) -> None:
        """Show the client certificate that a connection is for, once mitmproxy has set it up."""
        show(self._door, data)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Find the HTTP layer in the stack that was chosen (base-URL mode wraps it in TLS)."""
        found: Any = nextlayer.layer
        while found is not None:
            if type(found) is HttpLayer:
                BoundaryLayer.guard(found, self._door)
                return
            found = getattr(found, "child_layer", None)
