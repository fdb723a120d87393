"""How a person names a destination: `-`, a path, a URL, or `syslog+tcp://HOST:PORT`."""

import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from interlock.ledger.export.destination import Destination, ExportError
from interlock.ledger.export.file import FileDestination
from interlock.ledger.export.format import Format
from interlock.ledger.export.post import Post
from interlock.ledger.export.screen import Screen
from interlock.ledger.export.syslog import Syslog, Transport

SCREEN = "-"
_WEB = ("http", "https")
_SYSLOG: dict[str, Transport] = {f"syslog+{name}": name for name in ("udp", "tcp", "tls")}


def parse_destination(text: str) -> str:
    """Check how a destination is spelled; raises ValueError."""
    if "://" not in text:
        if not text or "\0" in text:
            raise ValueError("give '-', a path or a URL")
        return text
    url = urlsplit(text)
    if url.scheme not in (*_WEB, *_SYSLOG):
        known = ", ".join(f"{scheme}://" for scheme in (*_WEB, *_SYSLOG))
        raise ValueError(f"{url.scheme[:40]!r} is not one of {known}")
    if not url.hostname or url.username is not None or url.password is not None:
        raise ValueError("a URL needs a host, and no name or password in it: use --header")
    if url.scheme in _SYSLOG and (url.port is None or url.path.strip("/") or url.query):
        raise ValueError(f"use {url.scheme}://HOST:PORT")
    return text


def open_destination(
    text: str, format_: Format, *, goes_on: bool, headers: Mapping[str, str], ca: Path | None
) -> Destination:
    """Open what was named; `ca` is a file of certificates to trust. Raises ExportError."""
    if text == SCREEN:
        return Screen(sys.stdout, format_.header)
    if "://" not in text:
        return FileDestination(Path(text), format_.header, goes_on=goes_on)
    url = urlsplit(text)
    if url.scheme in _WEB:
        return Post(text, format_.content_type, headers, _trust(ca))
    return _syslog(url, ca)


def _syslog(url: SplitResult, ca: Path | None) -> Syslog:
    return Syslog(_SYSLOG[url.scheme], url.hostname or "", url.port or 0, _trust(ca))


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as e:
        raise ExportError(f"{ca}: holds no certificates to trust ({e.strerror or e})") from None
