"""`interlock server`: the MCP servers that are known, and how far they are trusted."""

import getpass
import time
from typing import Annotated, Any, Literal

import typer

from interlock.calls.url import parse_url
from interlock.cli import server_tools
from interlock.cli.description import (
    Capabilities,
    Description,
    Framework,
    Label,
    Version,
    labels_of,
    plain,
    read_capabilities,
    text,
)
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_fields, say_json, say_table
from interlock.cli.standing import offer
from interlock.cli.words import parse_duration, typed
from interlock.errors import RegistryError
from interlock.model import Server, Trust
from interlock.registry import Profile, Registration
from interlock.registry.profile import KINDS

app = typer.Typer(help="Servers: the MCP servers that agents may reach, and what they offer.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server's name or id.")]


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The server's name.")],
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", parser=typed(parse_url), help="Where it is reached."),
    ] = None,
    command: Annotated[str, text("What starts it, when it has no URL.", "COMMAND")] = "",
    arg: Annotated[list[str] | None, text("An argument of it; repeatable.", "ARG")] = None,
    owner: Annotated[str, text("Who answers for it.", "USER")] = "",
    group: Annotated[list[str] | None, text("A group it is in; repeatable.", "GROUP")] = None,
    trust: Annotated[
        Literal["trusted", "unverified"],
        typer.Option(help="Whether a person vouches for it from the start."),
    ] = "unverified",
    description: Description = None,
    framework: Framework = None,
    version: Version = None,
    label: Label = None,
    capabilities: Capabilities = None,
    lease: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION",
            parser=typed(parse_duration),
            help="Cut it off when nobody hears of it for so long, such as 90s.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register an MCP server, or take up what is new of one."""
    if not url and not command:
        raise RegistryError("give --url, or --command for a server that is started")
    groups = tuple(dict.fromkeys(group or ()))
    server = Server(name, url or "", owner, groups, Trust(trust))
    profile = Profile(
        type="http" if url else "stdio",
        description=description or "",
        framework=framework or "",
        version=version or "",
        labels=labels_of(label or ()),
        capabilities=read_capabilities(capabilities) if capabilities else {},
        endpoints=(url,) if url else (),
        command=command,
        args=tuple(arg or ()),
        source=f"user:{getpass.getuser()}",
    )
    with changing(settings_of(context), create=True) as home:
        found, changed = home.servers.register(
            server, profile, time.time(), lease_s=lease, vouched=True
        )
    if as_json:
        say_json(found.record(time.time()) | {"changed": changed})
        return
    if changed == ["new"]:
        say(f"Server {name} is registered ({trust}).")
    else:
        say(f"Server {name} is {found.server.trust}; changed: {', '.join(changed) or 'nothing'}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all servers."""
    with reading(settings_of(context)) as records:
        found = records.servers.all()
    if as_json:
        for one in found:
            say_json(one.record(time.time()))
        return
    columns = ("name", "trust", "health", "where", "tools", "source", "last seen")
    say_table(columns, map(_row, found))


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show all that is known of one server."""
    with reading(settings_of(context)) as records:
        found = records.servers.show(name)
    known = found.record(time.time())
    if as_json:
        say_json(known)
        return
    fields = known | {kind: ", ".join(found.seen.profile.names(kind)) for kind in KINDS}
    for field in ("first_seen", "last_seen", "verified_at", "lapses_at"):
        fields[field] = moment(fields[field]) if fields[field] else ""
    say_fields((k.replace("_", " "), plain(v)) for k, v in fields.items() if k != "capabilities")


offer(
    app,
    lambda home: home.servers.set_trust,
    "Server",
    "The server's name or id.",
    {
        "trust": "Vouch for a server, or lift its quarantine.",
        "quarantine": "Let no agent reach a server until it is trusted again.",
        "revoke": "Let no agent reach a server any more, for good.",
    },
)


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Forget a server; what was done with it stays in the ledger."""
    with changing(settings_of(context)) as home:
        home.servers.remove(name)
    if as_json:
        say_json({"name": name, "removed": True})
        return
    say(f"Server {name} is removed.")


app.command("pin")(server_tools.pin)
app.command("diff")(server_tools.diff)


def _row(found: Registration) -> tuple[Any, ...]:
    server, profile = found.server, found.seen.profile
    where = server.url or " ".join((profile.command, *profile.args))
    seen = moment(found.seen.last_seen)
    tools = len(profile.names("tools"))
    return server.name, server.trust, found.health(time.time()), where, tools, profile.source, seen
