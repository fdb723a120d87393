"""One spelling for one destination: host names and ports in canonical form."""

import ipaddress
import re
from functools import lru_cache

from interlock.model import Authority

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What ends so is an IPv4 address to many programs: decimal, octal, hexadecimal, cut short
# (WHATWG URL, "ends in a number checker").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
HTTPS_PORT = 443
# Characters of a name (RFC 1035, 2.3.4); an A-label has no fewer than what it stands for.
LONGEST = 253


@lru_cache(1024)
def parse_authority(text: str, default_port: int = HTTPS_PORT) -> Authority:
    """Read `host`, `host:port` or `[v6]:port` (RFC 3986, 3.2, without userinfo).

    Raises ValueError with one line when it is none of these.
    """
    host, port = text, default_port
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not HOST or HOST:PORT")
        port = _port(rest[1:], text) if rest else default_port
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
        port = _port(digits, text)
    return Authority(canonical_host(host), port)


def canonical_host(host: str) -> str:
    """Lower-case the host, turn it into its A-label (IDNA), drop one trailing dot.

    Addresses come out in their shortest form, an IPv4 address in IPv6 as the former. Raises
    ValueError for what no URL may hold, and for an address that only some programs know as one.
    """
    name = host.lower().removesuffix(".")
    if len(name) > LONGEST:  # first: half a second of IDNA for what is as long as a head may be
        raise ValueError(f"{host[:80]!r} is not a host name")
    if not name.isascii():
        try:
            name = name.encode("idna").decode().lower()
        except UnicodeError:
            raise ValueError(f"{host[:80]!r} is not a host name") from None
    if address := _address(name):
        return address
    labels = name.split(".")
    is_name = len(name) <= LONGEST and all(map(_LABEL.fullmatch, labels))
    if not is_name or _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"{host[:80]!r} is not a host name")
    return name


def _address(text: str) -> str:
    """An IP address in its one form; empty for what is none. A zone makes it a local one."""
    try:
        address = ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address or "")


def _port(digits: str, text: str) -> int:
    known = len(digits) <= 5 and digits.isascii() and digits.isdigit()
    if not (known and 0 < int(digits) < 65536):
        raise ValueError(f"{text[:80]!r}: the port must be a number from 1 to 65535")
    return int(digits)
