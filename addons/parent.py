"""A parent proxy, through which all calls go out: by CONNECT alone, so that it sees TLS only."""

import base64
import ipaddress
import re
from typing import Any

from mitmproxy import connection
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import GetHttpConnection, _upstream_proxy
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy
from mitmproxy.proxy.mode_specs import UpstreamMode

from addons.addresses import is_allowed, is_own, is_public
from addons.clearance import Clearance
from addons.door import Door
from interlock.calls import parse_authority
from interlock.settings import AllowPrivate

REFUSAL = re.compile(r"request: ([0-9]{3})")

# mitmproxy's word for a parent: its scheme and its address.
type Parent = tuple[Any, tuple[str, int]]


def parent_of(client: connection.Client) -> Parent | None:
    """The parent of the listener that a client came by, None where there is none."""
    mode = client.proxy_mode
    return (mode.scheme, mode.address) if type(mode) is UpstreamMode else None


def require_tunnel(
    asked: GetHttpConnection, cleared: Clearance | None, private: AllowPrivate
) -> None:
    """Raise PermissionError unless a connection is for what was cleared, over TLS, and outside.

    The parent resolves names, so that we see no address of theirs, and can pin none.
    """
    if cleared is None or asked.address != (cleared.authority.host, cleared.authority.port):
        raise PermissionError("no cleared request asked for this")
    if not asked.tls:
        raise PermissionError("only TLS goes through a parent proxy, which would read all else")
    host = cleared.authority.host
    if not _is_outside(host) and not is_allowed(host, private):
        raise PermissionError(f"{host} is not public (allow it with interlock_allow_private)")


def _is_outside(host: str) -> bool:
    """False for what says itself that it is inside (RFC 6761, 6.3)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
    return is_public(address) and not is_own(address)


class ParentTunnel(HttpUpstreamProxy):
    """mitmproxy's tunnel, but no flow ever holds what proves us to the parent."""

    door: Door

    @classmethod
    def take_over(cls, door: Door) -> None:
        """Have every tunnel through a parent be one of these."""
        cls.door = door
        module: Any = _upstream_proxy
        module.HttpUpstreamProxy = cls

    def start_handshake(self) -> layer.CommandGenerator[None]:
        """Ask for the tunnel (RFC 9110, 9.3.6)."""
        host, port = (self.conn.address or ("", 0))[:2]
        target = str(parse_authority(f"[{host}]" if ":" in host else host, port))
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if secret := self.door.parent_secret:
            proof = base64.b64encode(secret.reveal()).decode()
            lines.append(f"Proxy-Authorization: Basic {proof}")
        head = "\r\n".join([*lines, "", ""]).encode()
        yield commands.SendData(self.tunnel_connection, head)

    def receive_handshake_data(
        self, data: bytes
    ) -> layer.CommandGenerator[tuple[bool, str | None]]:
        """Read the answer; of a refusal nothing but the status goes on."""
        done, error = yield from super().receive_handshake_data(data)
        if error:
            found = REFUSAL.search(error)
            error = f"the parent proxy answered {found[1] if found else 'what is not HTTP'}"
        return done, error
