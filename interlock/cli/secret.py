"""`interlock secret`: put provider keys in, and say where each may go. Values never come out."""

import getpass
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from broker import BrokerError, Recipe, Secret, compact, parse_recipe
from broker.secret import MAX_BYTES
from interlock.calls import Catalogue
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.cli.words import parse_host, parse_secret_name, typed
from interlock.errors import InterlockError
from interlock.model import Authority, Binding

app = typer.Typer(help="Secrets: the keys of providers, sealed, each bound to its hosts.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=typed(parse_secret_name), help="The secret's name.")
]


class SecretInputError(InterlockError):
    """What was given for a secret cannot be one, or cannot go where it was bound."""


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    host: Annotated[
        list[Authority] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            parser=typed(parse_host),
            help="Where it may go; repeatable. A secret of the catalogue has its provider's.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="How it travels: bearer, basic, header:NAME, ...; docs/recipes.md has all.",
        ),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="AGENT", help="Who may use it; repeatable. Default: every agent."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Store a secret; its value is read from a hidden prompt or from stdin.

    The catalogue knows where openai-api-key and anthropic-api-key go; any other needs --host.
    """
    settings = settings_of(context)
    bindings = plan(name, host or (), recipe, agent or ())
    secret = _read_secret(name, parse_recipe(bindings[0].recipe))
    _try(bindings[0], secret)
    with changing(settings, create=True) as home:
        for each in agent or ():
            home.registry.get(each)
        home.set_secret(name, secret, bindings)
    if as_json:
        say_json(_public(name, bindings))
        return
    say(f"Secret {name} is stored, bound to {_hosts(bindings)}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List names and where each may go; never a value."""
    with reading(settings_of(context)) as records:
        names, bound = records.secrets(), records.bindings.all()
    secrets = [(name, [b for b in bound if b.secret == name]) for name in names]
    if as_json:
        for name, bindings in secrets:
            say_json(_public(name, bindings))
        return
    rows = ((name, _hosts(b), _recipes(b), _agents(b)) for name, b in secrets)
    say_table(("name", "hosts", "recipe", "agents"), rows)


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Forget a secret and where it was bound."""
    with changing(settings_of(context)) as home:
        if not home.remove_secret(name):
            raise SecretInputError(f"there is no secret named {name!r}")
    if as_json:
        say_json({"name": name, "removed": True})
        return
    say(f"Secret {name} is removed.")


def plan(
    name: str, hosts: Sequence[Authority], recipe: str | None, agents: Sequence[str]
) -> list[Binding]:
    """Say where a secret will be bound; raises SecretInputError.

    A secret of the catalogue knows its hosts and recipe. Bound to another host, it says that
    this host speaks the provider's API.
    """
    provider = Catalogue.shipped().of_secret(name)
    if provider and not hosts:
        hosts = [parse_host(host) for host in provider.hosts]
    if not hosts:
        raise SecretInputError(f"say where {name!r} may go: --host HOST[:PORT]")
    try:
        how = parse_recipe(recipe or (provider.recipe if provider else "bearer"))
    except ValueError as e:
        raise SecretInputError(f"--recipe: {e}") from None
    service = provider.service if provider else ""
    return [
        Binding(name, host, how.text, frozenset(agents), service) for host in dict.fromkeys(hosts)
    ]


def parse_value(raw: bytes, recipe: Recipe) -> Secret:
    """Read what came through stdin, one line end removed; raises ValueError.

    A secret of several fields may come as a JSON file of many lines.
    """
    if recipe.fields:
        raw = compact(raw)
    line = raw.removesuffix(b"\n")
    return Secret(line.removesuffix(b"\r") if line != raw else line)


def _read_secret(name: str, recipe: Recipe) -> Secret:
    """Ask for the value on a terminal, else take all of stdin; raises SecretInputError."""
    if sys.stdin is None:
        raise SecretInputError(f"{name}: there is no stdin to read the value from")
    try:
        if sys.stdin.isatty():
            return Secret(getpass.getpass(f"Value of {name}: "))
        return parse_value(sys.stdin.buffer.read(MAX_BYTES + len(b"\r\n") + 1), recipe)
    except ValueError as e:
        raise SecretInputError(f"{name}: {e}") from None


def _try(binding: Binding, secret: Secret) -> None:
    """Raise SecretInputError for a secret that its recipe cannot carry."""
    try:
        parse_recipe(binding.recipe).check(secret)
    except BrokerError as e:
        raise SecretInputError(f"{binding.secret}: {e}") from None


def _public(name: str, bindings: Sequence[Binding]) -> dict[str, Any]:
    return {
        "name": name,
        "bindings": [
            {
                "host": str(b.authority),
                "recipe": b.recipe,
                "agents": sorted(b.agents),
                "service": b.service,
            }
            for b in bindings
        ],
    }


def _hosts(bindings: Sequence[Binding]) -> str:
    return ", ".join(b.authority.short for b in bindings) or "nothing"


def _recipes(bindings: Sequence[Binding]) -> str:
    return ", ".join(dict.fromkeys(b.recipe for b in bindings))


def _agents(bindings: Sequence[Binding]) -> str:
    named = sorted({agent for b in bindings for agent in b.agents})
    return ", ".join(named) or "every agent"
