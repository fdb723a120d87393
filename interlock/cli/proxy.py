"""`interlock proxy`: the front door as a program of its own."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
        help="regular@PORT, reverse:https://HOST@PORT, transparent@PORT or "
        "upstream:http://PROXY:PORT@PORT; repeatable (regular@8080).",
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


def run(
    context: typer.Context,
    mode: ModeOption = None,
    enforce: Enforce = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve (default: one a core).")
    ] = os.cpu_count() or 1,
    listen_host: ListenHost = "127.0.0.1",
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
    from addons.supervisor import Supervisor

    plan = plan_of(context, mode, enforce, listen_host, options, script, save, as_json, drain)

    async def supervise() -> int:
        return await Supervisor(replace(plan, admin=admin_port), workers).run()

    with listening():
        raise typer.Exit(asyncio.run(supervise()))


def plan_of(
    context: typer.Context,
    modes: list[str] | None,
    enforce: bool | None,
    listen_host: str,
    options: list[str] | None,
    scripts: list[str] | None,
    save: str,
    as_json: bool,
    drain_s: float,
) -> "Plan":
    """Put the words of the command line into a plan; raises SettingsError."""
    from addons.plan import DEFAULT_MODE, Plan

    settings_of(context)  # what is wrong with the settings is said before anything starts
    said = [f"interlock_home={context.obj}"] if context.obj else []
    said += options or []
    if enforce is not None:
        said.append(f"interlock_mode={Mode.ENFORCE if enforce else Mode.OBSERVE}")
    return Plan(
        modes=tuple(modes or [DEFAULT_MODE]),
        listen_host=listen_host,
        options=tuple(said),
        scripts=tuple(str(Path(one).absolute()) for one in scripts or []),
        save=save,
        as_json=as_json,
        drain_s=drain_s,
    )


@contextmanager
def listening() -> Iterator[None]:
    """Name the option when a mode cannot be read; raises SettingsError."""
    try:
        yield
    except ValueError as e:
        raise SettingsError(f"--mode: {e}") from None
