"""`interlock proxy`: the front door as a program of its own."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.cli.home import settings_of
from interlock.cli.printing import Json
from interlock.errors import SettingsError
from interlock.model import Mode

if TYPE_CHECKING:
    from addons.plan import Plan

ModeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="regular@PORT, reverse:https://HOST@PORT, transparent@PORT, "
        "upstream:http://PROXY:PORT@PORT or local:PROGRAM; repeatable (regular@8080).",
    ),
]
Enforce = Annotated[
    bool | None,
    typer.Option(
        "--enforce/--observe", help="Refuse what is denied, or record it only; else the settings'."
    ),
]
ListenHost = Annotated[
    str, typer.Option(metavar="HOST", help="Where modes listen that name no host.")
]
ListenPort = Annotated[
    int | None,
    typer.Option(
        "--listen-port",
        "-p",
        min=1,
        max=65535,
        metavar="PORT",
        help="Port of the proxy without --mode (8080).",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set an option of mitmproxy; repeatable."),
]
Script = Annotated[
    list[str] | None,
    typer.Option("-s", "--script", metavar="FILE", help="A further addon; repeatable."),
]
Save = Annotated[
    str, typer.Option("-w", "--save", metavar="FILE", help="Write flows to this file.")
]


# What `--set` would not bring about, for each has been settled by then.
FLAGS = {"mode": "--mode", "listen_host": "--listen-host", "listen_port": "--listen-port"}


def run(
    context: typer.Context,
    mode: ModeOption = None,
    enforce: Enforce = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve (default: one a core).")
    ] = os.cpu_count() or 1,
    listen_host: ListenHost = "127.0.0.1",
    listen_port: ListenPort = None,
    options: Set = None,
    script: Script = None,
    save: Save = "",
    drain: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds that calls may take to end.")
    ] = 30.0,
    admin_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Serve /healthz, /readyz and /metrics on 127.0.0.1 (0: nowhere)."
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Run the front door: several processes, and only what a governed proxy needs.

    SIGTERM lets calls under way end, SIGHUP looks at the policies at once. With --json log lines
    are JSON.
    """
    from addons import hangup

    hangup.outlive()
    from addons.supervisor import Supervisor

    modes = modes_of(mode, listen_port)
    if workers > 1 and any(name.startswith("local") for name in modes):
        raise SettingsError("--workers: local capture is taken by one process: give --workers 1")
    plan = plan_of(context, modes, enforce, listen_host, options, script, save, as_json, drain)

    async def supervise() -> int:
        return await Supervisor(replace(plan, admin=admin_port), workers).run()

    raise typer.Exit(asyncio.run(supervise()))


def modes_of(modes: list[str] | None, port: int | None) -> tuple[str, ...]:
    """What is listened for; raises SettingsError for what is not governed, and for a port twice."""
    from addons.destination import parse_mode
    from addons.plan import DEFAULT_MODE

    if modes and port:
        raise SettingsError(f"--listen-port: {port}: write it into --mode, as in {modes[0]}@{port}")
    try:
        for text in modes or ():
            parse_mode(text)
    except ValueError as e:
        raise SettingsError(f"--mode: {e}") from None
    return tuple(modes or [f"regular@{port}" if port else DEFAULT_MODE])


def plan_of(
    context: typer.Context,
    modes: tuple[str, ...],
    enforce: bool | None,
    listen_host: str,
    options: list[str] | None,
    scripts: list[str] | None,
    save: str,
    as_json: bool,
    drain_s: float,
) -> "Plan":
    """Put the words of the command line into a plan; raises SettingsError."""
    from addons.plan import Plan

    settings_of(context)  # what is wrong with the settings is said before anything starts
    said = [f"interlock_home={context.obj}"] if context.obj else []
    said += map(_settable, options or [])
    if enforce is not None:
        said.append(f"interlock_mode={Mode.ENFORCE if enforce else Mode.OBSERVE}")
    return Plan(
        modes=modes,
        listen_host=listen_host,
        options=tuple(said),
        scripts=tuple(str(Path(one).absolute()) for one in scripts or []),
        save=save,
        as_json=as_json,
        drain_s=drain_s,
    )


def _settable(option: str) -> str:
    """An option as it was given; raises SettingsError for one that would do something else."""
    name, is_given, _ = option.partition("=")
    if name in FLAGS:
        raise SettingsError(f"--set {name}: use {FLAGS[name]}")
    if name.startswith("interlock_") and not is_given:
        raise SettingsError(f"--set {name}: give a value, as in {name}=VALUE")
    return option
