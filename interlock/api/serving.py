"""Serves the application: on loopback, or by TLS."""

import ssl
from pathlib import Path

import uvicorn

from interlock.api.app import create_app
from interlock.api.patience import PatientProtocol
from interlock.client.url import is_loopback
from interlock.errors import SettingsError
from interlock.installation import Installation

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_AT_ONCE = 256
GRACE_S = 5


def server_of(
    records: Installation,
    host: str,
    port: int,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    names: tuple[str, ...] = (),
    unsafe_plain_http: bool = False,
) -> uvicorn.Server:
    """A server that is ready to `run()`, which it does until SIGINT or SIGTERM.

    `names` are further names that clients may use. Raises SettingsError for an address beyond
    this machine without TLS, unless that was asked for, and for a certificate that cannot be
    used; PolicyError when there are no policies to answer by.
    """
    loopback = is_loopback(host)
    if not (loopback or certificate or unsafe_plain_http):
        raise SettingsError(
            f"--host {host} is reached from other machines: give --tls-cert and --tls-key"
        )
    if certificate:
        _require_pair(certificate, key)
    # A wildcard or a name beyond this machine is reached by names that we cannot know.
    hosts = {*LOOPBACK, host, *names} if loopback or names else set()
    config = uvicorn.Config(
        create_app(records, hosts),
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="error",  # a line for each bad request would let anybody fill the disk
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=PatientProtocol,
        ws="none",
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def _require_pair(certificate: Path, key: Path | None) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as e:
        said = e.strerror or e.reason if isinstance(e, ssl.SSLError) else e.strerror
        raise SettingsError(f"--tls-cert {certificate}: {said}") from None
