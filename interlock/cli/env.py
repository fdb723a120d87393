"""`interlock env`: what to set so that an unmodified agent calls through the front door."""

import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from interlock.calls import parse_authority
from interlock.cli.environment import (
    BASE_URLS,
    CA_FILE,
    DEFAULT_PROXY,
    FORMATS,
    JAVA_TRUST_STORE,
    KEY_LATER,
    KEY_VARIABLE,
    Way,
)
from interlock.cli.home import reading, settings_of
from interlock.cli.printing import Json, complain
from interlock.cli.reader import START
from interlock.cli.words import typed
from interlock.errors import SettingsError
from interlock.model import Authority
from interlock.settings import Settings

type BaseUrl = tuple[str, Authority]


def parse_proxy(text: str) -> Authority:
    """Read HOST or HOST:PORT of the proxy; raises ValueError."""
    return parse_authority(text, DEFAULT_PROXY.port)


def parse_base_url(text: str) -> BaseUrl:
    """Read `SERVICE=https://HOST[:PORT]`; raises ValueError."""
    service, _, url = text.partition("=")
    if service not in BASE_URLS:
        raise ValueError(f"{service[:40]!r} is not a service: use {' or '.join(BASE_URLS)}")
    scheme, _, address = url.removesuffix("/").partition("://")
    if scheme != "https":
        raise ValueError(f"{text[:80]!r}: the URL must be https://HOST:PORT")
    return service, parse_authority(address)


def run(
    context: typer.Context,
    agent: Annotated[str, typer.Option(metavar="NAME", help="The agent that will call.")],
    spelling: Annotated[
        Literal["shell", "docker", "compose", "json"],
        typer.Option("--format", help="For whom the lines are written."),
    ] = "shell",
    proxy: Annotated[
        Authority | None,
        typer.Option(
            metavar="HOST:PORT",
            parser=typed(parse_proxy),
            help="Where the proxy listens; default 127.0.0.1:8080, or none beside --base-url.",
        ),
    ] = None,
    base_url: Annotated[
        list[BaseUrl] | None,
        typer.Option(
            metavar="SERVICE=URL",
            parser=typed(parse_base_url),
            help="Call this service through a base URL of the front door; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the variables that bring an unmodified agent to the front door.

    Proxy and certificate, as Python, Node, Go, curl, git, Deno and Java read them. Java sends
    no proxy credentials by itself: use --base-url for it. In the docker and compose formats an
    address on loopback becomes host.docker.internal, where the front door has to listen too.
    """
    settings = settings_of(context)
    key = _key(settings, agent)
    way = Way(
        agent,
        key,
        existing(settings.ca / CA_FILE),
        existing(settings.ca / JAVA_TRUST_STORE),
        proxy or (None if base_url else DEFAULT_PROXY),
        tuple(base_url or ()),
    )
    typer.echo(FORMATS["json" if as_json else spelling](way))
    if key == KEY_LATER:
        complain(f"set {KEY_VARIABLE} to the agent's key; it is not stored here")


def _key(settings: Settings, agent: str) -> str:
    """The key in our environment if it is this agent's, else what stands for it.

    Raises RegistryError for an unknown agent and IdentityError for a key that proves nothing.
    """
    with reading(settings) as records:
        records.registry.get(agent)
        if key := os.environ.get(KEY_VARIABLE):
            records.registry.prove(key, time.time(), agent)
    return key or KEY_LATER


def existing(path: Path) -> Path:
    """Answer the path of a file that is there; raises SettingsError."""
    if not path.is_file():
        raise SettingsError(f"{path} does not exist: {START}")
    return path
