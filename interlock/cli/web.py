"""`interlock web`: the front door with mitmproxy's web interface."""

import asyncio
from typing import Annotated

import typer

from interlock.cli.printing import Json
from interlock.cli.proxy import (
    Enforce,
    ListenHost,
    ListenPort,
    ModeOption,
    Save,
    Script,
    Set,
    modes_of,
    plan_of,
)


def run(
    context: typer.Context,
    mode: ModeOption = None,
    enforce: Enforce = None,
    listen_host: ListenHost = "127.0.0.1",
    listen_port: ListenPort = None,
    options: Set = None,
    script: Script = None,
    save: Save = "",
    web_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 8081,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Run the front door and show its calls on a web page, in one process.

    No flow holds a secret, so neither does the page; it shows what agents and upstreams said.
    """
    from addons import hangup

    hangup.outlive()
    from addons.master import serve
    from addons.web_master import GovernedWebMaster

    page = [f"web_port={web_port}", f"web_open_browser={str(browser).lower()}"]
    given = [*page, *(options or [])]
    modes = modes_of(mode, listen_port)
    plan = plan_of(context, modes, enforce, listen_host, given, script, save, as_json, 5.0)
    raise typer.Exit(asyncio.run(serve(plan, GovernedWebMaster)))
