"""`interlock broker`: the secrets in a process, and under a user, of their own."""

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.remote import Address, parse_address, serve
from broker.secrecy import leave_nothing
from broker.stores.store import hush
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.cli.words import typed
from interlock.custody.service import Service
from interlock.errors import SettingsError, StoreError
from interlock.installation import Installation

app = typer.Typer(help="The broker: the secrets in a process and under a user of their own.")

log = logging.getLogger(__name__)

ATTEST_S = 5.0


def parse_user(text: str) -> pwd.struct_passwd:
    """Read the name of a user of this machine; raises ValueError."""
    try:
        return pwd.getpwnam(text)
    except (KeyError, ValueError):
        raise ValueError(f"{text[:80]!r} is no user of this machine") from None


def parse_group(text: str) -> int:
    """Read the name of a group of this machine; raises ValueError."""
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise ValueError(f"{text[:80]!r} is no group of this machine") from None


@app.callback()
def main() -> None:
    """Keep the verbs apart from the noun, though there is one so far."""


@app.command("serve")
def serve_(
    context: typer.Context,
    socket: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The Unix socket; default: broker.sock in the home."),
    ] = None,
    user: Annotated[
        list[Any] | None,
        typer.Option(
            metavar="USER",
            parser=typed(parse_user),
            help="Let this user in too; repeatable. Without it, the socket is for its owner alone.",
        ),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(
            metavar="GROUP",
            parser=typed(parse_group),
            help="Whose members can open the socket, if they are users that are let in; "
            "default: the group of USER.",
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve other machines, over mutual TLS.")
    ] = "",
    tls: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="What both sides prove by: cert.pem, key.pem, and ca.pem of the other side.",
        ),
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Let in whose certificate has this DNS name or URI, such as a SPIFFE ID; "
            "repeatable. Nobody else is.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the secrets of this home to front doors that have none, until interrupted.

    Each secret is released once for each decision, to a host that it is bound to, and recorded.
    """
    settings = settings_of(context)
    if settings.broker:
        raise SettingsError("interlock_broker: this home asks a broker, it cannot be one")
    if listen and (socket or user or group is not None):
        raise SettingsError("--listen: serve a socket or another machine, not both")
    if not bool(listen) == bool(tls) == bool(client):
        raise SettingsError("--listen, --tls and --client go together")
    users = [each.pw_uid for each in user or ()]
    let_in = partial(serve, users=users, group=_group(user or (), group), clients=client or ())
    address = _address(listen, tls) if listen else Address(socket or settings.home / "broker.sock")
    leave_nothing(os.environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    hush("httpx", "httpcore")
    with changing(settings, create=True) as home:
        asyncio.run(_serve(home, partial(let_in, address, Service(home).answer), address, as_json))


def _group(users: Sequence[pwd.struct_passwd], named: int | None) -> int | None:
    """Whose members may open the socket; None for its owner alone. Raises SettingsError."""
    groups = {each.pw_gid for each in users if each.pw_uid != os.geteuid()}
    if named is not None or not groups:
        return named
    if len(groups) > 1:
        raise SettingsError("--group: name the group that these users share")
    return groups.pop()


async def _serve(
    home: Installation,
    serving: Callable[[], AbstractAsyncContextManager[int]],
    address: Address,
    as_json: bool,
) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serving() as port:
        where = str(replace(address, port=port) if port else address)
        if as_json:
            say_json({"listening": where, "home": str(home.settings.home)})
        else:
            say(f"The broker of {home.settings.home} listens at {where}.")
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), ATTEST_S)
            try:
                await asyncio.to_thread(home.notary.attest_when_due, time.time())
            except StoreError as e:
                log.warning("the ledger cannot be attested: %s", e)


def _address(listen: str, tls: Path | None) -> Address:
    try:
        return parse_address(f"tls://{listen}", tls)
    except ValueError:
        raise SettingsError(f"--listen: {listen[:80]!r} is not HOST:PORT") from None
