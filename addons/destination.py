"""Where a request leads when neither a CONNECT nor the listener says it: by the agent's own words.

In transparent and local mode the agent does not know that we are there, and on a listener of
`reverse:https://routes` it means one provider of several. Both times SNI and Host name the
destination, and have to agree; what is dialled and verified is that name, whatever address the
agent dialled.
"""

from collections.abc import Mapping

from mitmproxy import connection, http
from mitmproxy.proxy.mode_specs import (
    LocalMode,
    ProxyMode,
    RegularMode,
    ReverseMode,
    TransparentMode,
    UpstreamMode,
)

from interlock.calls import parse_authority
from interlock.errors import SettingsError
from interlock.model import NOWHERE, Authority

# The host of a reverse listener that serves what `interlock_routes` says.
ROUTES = "routes"

GOVERNED = (
    "'regular', 'reverse:https://HOST' (or http), 'transparent', 'upstream:http://PROXY' "
    "and 'local:PROGRAM' are governed"
)

# In these the agent does not know that we are there. Modes have no subclasses, and each call asks.
REDIRECTED = (TransparentMode, LocalMode)

type Routes = Mapping[str, Authority]


def knows_proxy(client: connection.Client) -> bool:
    """True for an agent that was told of a proxy, and proves itself to it."""
    return isinstance(client.proxy_mode, (RegularMode, UpstreamMode))


def parse_mode(text: str) -> ProxyMode:
    """Read a mode that is governed; raises ValueError with a line that names it."""
    try:
        mode = ProxyMode.parse(text)
    except ValueError as e:
        unknown = str(e) == "unknown mode"
        raise ValueError(f"{text!r}: {f'unknown: {GOVERNED}' if unknown else e}") from None
    if isinstance(mode, ReverseMode):
        served = mode.scheme == "https" or (mode.scheme == "http" and not serves_routes(mode))
    else:
        served = isinstance(mode, (RegularMode, TransparentMode, UpstreamMode, LocalMode))
    if not served:
        raise ValueError(f"{text!r} is refused: {GOVERNED}")
    return mode


def serves_routes(mode: ProxyMode) -> bool:
    """True for a listener whose destination is told by the name that the agent uses."""
    return type(mode) is ReverseMode and mode.address[0] == ROUTES


def lead(
    client: connection.Client,
    server: connection.Server,
    request: http.Request,
    routes: Routes,
) -> connection.Server:
    """The server, not connected yet, that a request on a client's connection is for."""
    mode = client.proxy_mode
    if type(mode) in REDIRECTED:
        found = _transparent(client, server, request)
    elif serves_routes(mode):
        found = routes.get(_named(client, request), NOWHERE)
    else:
        return server
    led = connection.Server(address=(found.host, found.port))
    led.tls = server.tls
    return led


def parse_routes(text: str) -> dict[str, Authority]:
    """Read `NAME=https://HOST[:PORT]`, comma separated; raises SettingsError."""
    routes: dict[str, Authority] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = entry.partition("=")
        scheme, _, address = url.strip().removesuffix("/").partition("://")
        try:
            if scheme != "https":
                raise ValueError("it must be NAME=https://HOST[:PORT]")
            alias = parse_authority(name.strip(), 0)
            if alias.port or alias.host in routes:
                raise ValueError("the name must be one without a port, and given once")
            routes[alias.host] = parse_authority(address)
        except ValueError as e:
            raise SettingsError(f"interlock_routes: {entry[:80]!r}: {e}") from None
    return routes


def _transparent(
    client: connection.Client, server: connection.Server, request: http.Request
) -> Authority:
    """The name that the agent says, at the port that it dialled."""
    name = _named(client, request)
    if not name or not server.address:
        return NOWHERE
    return Authority(name, server.address[1])


def _named(client: connection.Client, request: http.Request) -> str:
    """The one host that Host, `:authority` and SNI name in canonical form; else empty."""
    hosts = request.headers.get_all("host")
    claims = [*hosts, *filter(None, (request.authority, client.sni))]
    try:
        names = {parse_authority(claim, 0).host for claim in claims}
    except ValueError:
        return ""
    return names.pop() if len(names) == 1 and len(hosts) < 2 else ""
