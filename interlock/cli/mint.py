"""`interlock mint`: the routes on which upstreams hand out tokens, and what was handed out."""

import time
from dataclasses import replace
from typing import Annotated, Any

import typer

from interlock.calls.hosts import parse_path_pattern
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.words import parse_host, parse_method, parse_text, typed
from interlock.errors import MintError
from interlock.minting.minting import declared, public
from interlock.minting.route import Route, presets
from interlock.model import Authority
from interlock.store.minted import rows

app = typer.Typer(help="Minted tokens: what an upstream hands out is kept here, not by the agent.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=typed(parse_text), help="The route's name.")
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    host: Annotated[
        Authority | None,
        typer.Option(
            metavar="HOST[:PORT]",
            parser=typed(parse_host),
            help="The host that hands out tokens. A route known by name has its own.",
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            parser=typed(parse_path_pattern),
            help="There and below; * stands for a part of one segment.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="METHOD", parser=typed(parse_method), help="Default: POST."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="A JSON field that holds a token, wherever it stands; repeatable. "
            "Default: access_token, refresh_token, id_token.",
        ),
    ] = None,
    to: Annotated[
        list[Authority] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            parser=typed(parse_host),
            help="Where a token may go in a header; repeatable. Default: the host of the route.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEADER", help="A header it may stand in; repeatable. Default: Authorization."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Have the tokens of a route kept: agents get placeholders, which only work through here.

    `interlock mint presets` lists the names that need no option. A route of the same name is
    replaced; its tokens stay, and may go where the new one says.
    """
    route = presets().get(name)
    if route is None:
        if not (host and path):
            raise MintError(f"--host and --path: {name[:64]!r} is none of `interlock mint presets`")
        route = Route(name, host, path, hosts=(host,))
    changes: dict[str, Any] = {
        "authority": host,
        "path": path,
        "method": method,
        "fields": tuple(field or ()),
        "hosts": tuple(to or ()),
        "headers": tuple(each.lower() for each in header or ()),
    }
    route = replace(route, **{what: value for what, value in changes.items() if value})
    with changing(settings_of(context), create=True) as home:
        home.minting.add(route)
    if as_json:
        say_json(public(route))
        return
    say(f"Route {name}: {_asked(route)} hands out tokens for {_hosts(route)}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the routes that are declared."""
    with reading(settings_of(context)) as records:
        found = declared(records.database)
    _show(found, as_json)


@app.command("presets")
def presets_(as_json: Json = False) -> None:
    """List the routes that are known by name."""
    _show(list(presets().values()), as_json)


@app.command()
def tokens(context: typer.Context, as_json: Json = False) -> None:
    """List the tokens that agents were handed and that are good still; never a value."""
    with reading(settings_of(context)) as records:
        found = [each for each, _ in records.database.read(rows) if each.ends > time.time()]
    if as_json:
        for each in found:
            told = {"minted": each.id, "secret": each.secret, "agent": each.agent}
            say_json(told | {"made_at": each.made_at, "ends": each.ends})
        return
    say_table(
        ("token", "secret", "agent", "made", "ends"),
        ((e.id, e.secret, e.agent, moment(e.made_at), moment(e.ends)) for e in found),
    )


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Forget a route, and with it every token that it has minted."""
    with changing(settings_of(context)) as home:
        count = home.minting.remove(name)
    if as_json:
        say_json({"name": name, "removed": True, "tokens": count})
        return
    say(f"Route {name} is removed, and {count} tokens with it.")


def _show(routes: list[Route], as_json: bool) -> None:
    if as_json:
        for route in routes:
            say_json(public(route))
        return
    say_table(
        ("name", "route", "fields", "to", "headers"),
        ((r.name, _asked(r), ", ".join(r.fields), _hosts(r), ", ".join(r.headers)) for r in routes),
    )


def _asked(route: Route) -> str:
    return f"{route.method} {route.authority.short}{route.path}"


def _hosts(route: Route) -> str:
    return ", ".join(host.short for host in route.hosts)
