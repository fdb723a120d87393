"""Where an API is: by https, or on this machine, because a key goes along with every request."""

import ipaddress
from urllib.parse import urlsplit


def parse_api_url(text: str, *, unsafe_plain_http: bool = False) -> str:
    """Read the URL of an API; raises ValueError.

    With `unsafe_plain_http` the key may be read on the way to another machine.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is not like https://HOST[:PORT]")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("has to be without user, query and fragment")
    if parts.scheme == "http" and not (unsafe_plain_http or is_loopback(parts.hostname)):
        raise ValueError("use https:// for another machine: the key would be read on the way")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
