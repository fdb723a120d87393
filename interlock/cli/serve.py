"""`interlock serve`: the HTTP API."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from interlock.calls.authority import canonical_host
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.cli.words import typed
from interlock.errors import SettingsError

DEFAULT_PORT = 9080


def run(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="On which port.")
    ] = DEFAULT_PORT,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate and its chain, for https."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, when it is elsewhere.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            parser=typed(canonical_host),
            help="A name that clients may use too, without a port; repeatable.",
        ),
    ] = None,
    unsafe_plain_http: Annotated[
        bool,
        typer.Option(
            "--unsafe-plain-http",
            help="Listen beyond this machine without TLS: tokens can be read on the way.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the HTTP API, until it is interrupted; docs/api.md has the routes.

    Make a token first: `interlock token add NAME --role admin`.
    """
    # Late, because FastAPI would slow every other command down.
    from interlock.api.serving import server_of

    scheme = "https" if tls_cert else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    _require_free(host, port)
    with changing(settings_of(context), create=True) as home:
        server = server_of(
            home,
            host,
            port,
            certificate=tls_cert,
            key=tls_key,
            names=tuple(name or ()),
            unsafe_plain_http=unsafe_plain_http,
        )
        if as_json:
            say_json({"url": url, "home": str(home.settings.home)})
        else:
            say(f"Serving the API at {url}, home {home.settings.home}.")
        server.run()


def _require_free(host: str, port: int) -> None:
    """Raise SettingsError when nobody can listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as e:
        raise SettingsError(f"--host {host} --port {port}: {e.strerror or e}") from None
