"""The choke point: only what a cleared request asked for is dialled, at a checked address."""

import asyncio
import ipaddress
import logging
import socket

from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.door import Door
from interlock.calls import parse_authority
from interlock.model import Authority
from interlock.settings import AllowPrivate

log = logging.getLogger(__name__)

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# All of IPv6 that is assigned to the public internet (IANA), and what in it is not: 6to4 and
# documentation. Translation prefixes, site-local and other oddities lie outside.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("3fff::/20"))
# The relays of 6to4, which Python takes for global.
_NOT_PUBLIC_V4 = ipaddress.IPv4Network("192.88.99.0/24")


class Dial:
    """Refuses raw tunnels, eager dials and addresses inside our own network."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._pinned: dict[str, Authority] = {}

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """Resolve once, check every answer, and pin the address that is dialled.

        Any failure in here stops the dial, because an error on the connection does.
        """
        try:
            authority = _authority(data)
            if authority not in self._door.dialable.get(data.client.id, ()):
                raise PermissionError(f"no cleared request asked for {authority}")
            address = await resolve(authority, self._door.private)
        except Exception as e:  # noqa: BLE001 - whatever goes wrong, the dial is refused
            data.server.error = f"interlock refused to dial: {e}"
            log.warning("%s", data.server.error)
            return
        self._pinned[data.server.id] = authority
        if data.server.tls:
            data.server.sni = authority.host
        data.server.address = (str(address), authority.port)

    async def server_connected(self, data: ServerConnectionHookData) -> None:
        """Give the connection its name back, by which the HTTP layer finds it for reuse.

        The field is guarded against changes on an open connection because that could hide
        where it leads; this restores what stood there before we pinned the address.
        """
        authority = self._pinned.pop(data.server.id, None)
        if authority:
            data.server.__dict__["address"] = (authority.host, authority.port)

    async def server_connect_error(self, data: ServerConnectionHookData) -> None:
        """Forget the pin of a dial that failed."""
        self._pinned.pop(data.server.id, None)


async def resolve(authority: Authority, private: AllowPrivate) -> Address:
    """Resolve a name once and answer the address to dial.

    Raises PermissionError when ANY answer is not a public address, or is one of this machine, and
    is not allowed; OSError when there is no answer.
    """
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(authority.host, authority.port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    for address in addresses:
        inside = "not public" if not is_public(address) else "this machine" * is_own(address)
        if inside and not _allowed(authority.host, address, private):
            raise PermissionError(
                f"{authority.host} resolves to {address}, which is {inside} "
                "(allow it with interlock_allow_private)"
            )
    return addresses[0]


def is_public(address: Address) -> bool:
    """True for an address that the internet routes, whatever form it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _PUBLIC_V6 or any(address in network for network in _NOT_PUBLIC_V6):
            return False
    elif address in _NOT_PUBLIC_V4:
        return False
    return address.is_global and not address.is_multicast


def is_own(address: Address) -> bool:
    """True for an address of this machine: what listens there may trust who is inside."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _allowed(host: str, address: Address, private: AllowPrivate) -> bool:
    names, networks = private
    return host in names or any(address in network for network in networks)


def _authority(data: ServerConnectionHookData) -> Authority:
    if data.server.via or not data.server.address:
        raise PermissionError("a parent proxy is not governed by this version")
    host, port = data.server.address[:2]
    return parse_authority(f"[{host}]" if ":" in host else host, port)
