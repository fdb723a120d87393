"""Where a broker listens: a Unix socket on this machine, or a host and port behind mutual TLS."""

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from broker.errors import KeyFileError

SCHEME = "tls"
CA, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"


@dataclass(frozen=True, slots=True)
class Address:
    """A socket file, or a host and port with the folder of what both sides prove by."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    tls: Path | None = None

    def __str__(self) -> str:
        return str(self.path) if self.path else f"{SCHEME}://{self.host}:{self.port}"


def parse_address(text: str, tls: Path | None = None) -> Address:
    """Read an absolute path, or `tls://HOST:PORT` with a folder; raises ValueError."""
    if text.startswith("/"):
        return Address(Path(text))
    parts = urlsplit(text)
    if parts.scheme != SCHEME or not parts.hostname or not parts.port or parts.path:
        raise ValueError(f"{text[:80]!r} is neither an absolute path nor {SCHEME}://HOST:PORT")
    if tls is None:
        names = f"{CA}, {CERTIFICATE} and {KEY}"
        raise ValueError(f"{text[:80]!r} needs a folder with {names} (broker_tls)")
    return Address(None, parts.hostname, parts.port, tls)


def client_context(folder: Path) -> ssl.SSLContext:
    """Prove who we are and believe `ca.pem` alone; raises KeyFileError."""
    return _proved(folder, ssl.PROTOCOL_TLS_CLIENT)


def server_context(folder: Path) -> ssl.SSLContext:
    """The same for the other side, which lets nobody in without a certificate."""
    context = _proved(folder, ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _proved(folder: Path, side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = folder / KEY
    try:
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            raise KeyFileError(key, "can be read by other users: chmod 600 it")
        context.load_cert_chain(folder / CERTIFICATE, key)
        context.load_verify_locations(folder / CA)
    except OSError as error:
        why = f"is not a folder with {CA}, {CERTIFICATE} and {KEY} that fit: {error}"
        raise KeyFileError(folder, why) from error
    return context
