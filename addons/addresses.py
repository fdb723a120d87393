"""Which addresses are of the public internet, and which are our own."""

import ipaddress
import socket

from interlock.settings import AllowPrivate

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# All of IPv6 that is assigned to the public internet (IANA), and what in it is not: 6to4 and
# documentation. Translation prefixes, site-local and other oddities lie outside.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("3fff::/20"))
# The relays of 6to4, which Python takes for global.
_NOT_PUBLIC_V4 = ipaddress.IPv4Network("192.88.99.0/24")


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


def is_allowed(host: str, private: AllowPrivate, address: Address | None = None) -> bool:
    """True for a host that our operator lets be private, by its name or by its address."""
    names, networks = private
    if address is None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in names
    return host in names or any(address in network for network in networks)
