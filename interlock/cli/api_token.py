"""`interlock token`: who may use the API, and how far."""

import time
from typing import Annotated, Any

import typer

from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.words import parse_duration, typed
from interlock.registry import Role
from interlock.registry.tokens import Token

app = typer.Typer(help="Tokens: who may use the API, and how far.")

COLUMNS = ("name", "role", "made", "ends")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")]
Ttl = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION",
        parser=typed(parse_duration),
        help="When it ends, such as 90d; never, when not given.",
    ),
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[
        Role,
        typer.Option(
            help="A viewer reads; an operator runs agents, goals and approvals; an admin also "
            "policies and tokens; a scanner registers; a service asks for decisions."
        ),
    ] = Role.VIEWER,
    ttl: Ttl = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once. That of a scanner has the scanner's id as its name."""
    with changing(settings_of(context), create=True) as home:
        text = home.tokens.add(name, role, ttl=ttl)
        token = home.tokens.get(name)
    _say_text(token, text, as_json)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all tokens, never what they are proven by."""
    with reading(settings_of(context)) as records:
        tokens = records.tokens.all()
    if as_json:
        for token in tokens:
            say_json(token.record)
        return
    say_table(COLUMNS, map(_row, tokens))


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one token: its role and when it ends, never what it is proven by."""
    with reading(settings_of(context)) as records:
        token = records.tokens.get(name)
    if as_json:
        say_json(token.record)
        return
    for title, value in zip(COLUMNS, _row(token), strict=True):
        say(f"{title:<16} {value}")


@app.command()
def rotate(context: typer.Context, name: Name, ttl: Ttl = None, as_json: Json = False) -> None:
    """Replace a token; the old one ends at once."""
    with changing(settings_of(context)) as home:
        text = home.tokens.rotate(name, ttl=ttl)
        token = home.tokens.get(name)
    _say_text(token, text, as_json)


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """End a token."""
    with changing(settings_of(context)) as home:
        home.tokens.remove(name)
    if as_json:
        say_json({"name": name, "removed": True})
        return
    say(f"Token {name} has ended.")


def _say_text(token: Token, text: str, as_json: bool) -> None:
    if as_json:
        say_json(token.record | {"token": text})
        return
    say(f"Token {token.name} ({token.role}) is shown this once and not stored:")
    say()
    say(f"  {text}", style="bold")


def _row(token: Token) -> tuple[Any, ...]:
    over = token.expires_at is not None and token.expires_at <= time.time()
    ends = "never" if token.expires_at is None else moment(token.expires_at)
    return token.name, token.role, moment(token.created_at), ends + (" (over)" if over else "")
