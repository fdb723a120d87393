"""One spelling for the address of a server: an absolute http or https URL."""

from urllib.parse import urlsplit

from interlock.calls.authority import parse_authority
from interlock.calls.path import path_doubt

PORTS = {"https": 443, "http": 80}


def parse_url(text: str) -> str:
    """Read `http(s)://HOST[:PORT][/PATH]` and write it canonically; raises ValueError.

    Without userinfo, query and fragment, in which secrets travel.
    """
    said = text[:80]
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"{said!r} is not a URL") from None
    if parts.scheme not in PORTS or not parts.netloc or not text.isprintable() or " " in text:
        raise ValueError(f"{said!r} is not like https://HOST[:PORT]/PATH")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a URL has to be without user, query and fragment")
    at = parse_authority(parts.netloc, PORTS[parts.scheme])
    path = parts.path.rstrip("/")
    if path and (doubt := path_doubt(path)):
        raise ValueError(f"{said!r}: {doubt}")
    return f"{parts.scheme}://{str(at).removesuffix(f':{PORTS[parts.scheme]}')}{path}"
