"""`interlock doctor`."""

import os
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import typer

from interlock.cli.check import Check, Status
from interlock.cli.checks import examine
from interlock.cli.egress import look_from, try_all
from interlock.cli.env import parse_proxy
from interlock.cli.environment import DEFAULT_PROXY, PROXY_VARIABLES
from interlock.cli.home import settings_of
from interlock.cli.printing import Json, say, say_json, say_styled
from interlock.cli.words import parse_address, typed
from interlock.model import Authority

STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILURE: "bold red"}


def run(
    context: typer.Context,
    egress: Annotated[
        bool,
        typer.Option("--egress", help="Try, from where an agent runs, every way past the door."),
    ] = False,
    proxy: Annotated[
        Authority | None,
        typer.Option(
            metavar="HOST:PORT",
            parser=typed(parse_proxy),
            help="The front door for --egress; default: what HTTPS_PROXY says, or 127.0.0.1:8080.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            parser=typed(parse_address),
            help="A further address for --egress that must not be reached; repeatable.",
        ),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(min=1, help="Look with --egress from where this process is, as root."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for what would keep the front door from working; exit 1 when something would.

    With --egress, look whether an agent that runs here could go around it: by TCP, UDP, DNS and
    ICMP to public and metadata addresses, to other ports of its host and of the router, and by
    sockets of container engines and systemd. Exit 0: nothing but the front door answers.
    """
    if egress:
        if pid:
            look_from(pid)
        _prove(proxy or _door(), target or [], as_json=as_json)
        return
    failed = False
    for check in examine(settings_of(context)):
        failed = failed or check.status is Status.FAILURE
        if as_json:
            say_json(asdict(check))
        else:
            _say(check)
    raise typer.Exit(1 if failed else 0)


def _prove(door: Authority, targets: list[str], *, as_json: bool) -> None:
    """Say of each way whether it is open; exit 1 unless that is the front door, and no other."""
    answers, *others = try_all(door, targets)
    reached = [attempt for attempt in others if attempt.open]
    if as_json:
        for attempt in (answers, *others):
            say_json(asdict(attempt))
    else:
        if not answers.open:
            say(f"The front door at {door} does not answer: {answers.found}")
        for attempt in reached:
            say_styled(
                ("open     ", STYLES[Status.FAILURE]), (f"{attempt.way}: {attempt.found}", "")
            )
        what = f"{len(reached)} ways" if reached else "nothing"
        say(f"{len(others)} ways past the front door at {door} were tried: {what} answered.")
    raise typer.Exit(1 if reached or not answers.open else 0)


def _door() -> Authority:
    """The front door that this environment names."""
    url = next(filter(None, map(os.environ.get, PROXY_VARIABLES)), "")
    found = urlsplit(url)
    if not found.hostname:
        return DEFAULT_PROXY
    return Authority(found.hostname, found.port or DEFAULT_PROXY.port)


def _say(check: Check) -> None:
    advice = f": {check.advice}" if check.advice else ""
    say_styled(
        (f"{check.status:<8} ", STYLES[check.status]),
        (f"{check.subject:<12} ", "bold"),
        (f"{check.found}{advice}", ""),
    )
