"""Where another registry is, and the key that opens it: as a configuration file says it."""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Remote:
    """The API of a registry elsewhere; `ca` is a file of further authorities, empty for none."""

    url: str
    api_key: str = field(repr=False)
    ca: str = ""


def parse_remote_url(text: str) -> str:
    """Read the URL of an API; raises ValueError.

    The key of a scanner goes over it, so it is https, except on this machine.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is not like https://HOST[:PORT]")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("has to be without user, query and fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("use https:// for another machine: the key would be read on the way")
    return text.rstrip("/")


def parse_api_key(text: str) -> str:
    """Read a key, with `${VARIABLE}` for what the environment holds; raises ValueError."""
    if unknown := [name for name in _VARIABLE.findall(text) if name not in os.environ]:
        raise ValueError(f"the environment has no {unknown[0]}")
    key = _VARIABLE.sub(lambda found: os.environ[found[1]], text)
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("use the key of a scanner: interlock token add NAME --role scanner")
    return key


def parse_ca(text: str) -> str:
    """Read the name of a file of authorities that is there; raises ValueError."""
    path = Path(text).expanduser()
    if text and not path.is_file():
        raise ValueError(f"there is no file {text[:80]!r}")
    return str(path) if text else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
