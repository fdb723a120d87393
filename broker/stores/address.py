"""Which addresses a secret may be fetched from: over TLS, or without leaving this machine."""

import ipaddress
from urllib.parse import urlsplit

from broker.errors import StoreRefusalError


def require_private_wire(url: str, what: str) -> None:
    """Raise StoreRefusalError for a URL over which others could read along."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        bare = parts.username is None and parts.password is None and parts.port != 0
    except ValueError:
        host, bare = "", False
    if not host or not bare or parts.scheme not in ("http", "https"):
        raise StoreRefusalError(f"{what} is not a URL such as https://HOST:PORT")
    if parts.scheme == "http" and not _is_loopback(host):
        raise StoreRefusalError(f"{what} is http:// to another machine: use https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
