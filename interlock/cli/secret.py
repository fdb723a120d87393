"""`interlock secret`: put provider keys in, and say where each may go. Values never come out."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from broker import parse_recipe
from broker.stores import Reference, parse_reference
from interlock.calls import Catalogue
from interlock.calls.hosts import parse_path_pattern
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.cli.secret_plan import plan
from interlock.cli.secret_store import check, fetched, origins, public, told
from interlock.cli.secret_value import SecretInputError, read_key, try_out
from interlock.cli.words import parse_host, parse_method, parse_secret_name, parse_text, typed
from interlock.model import Authority, Binding
from interlock.settings import Settings

app = typer.Typer(help="Secrets: the keys of providers, sealed, each bound to its hosts.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=typed(parse_secret_name), help="The secret's name.")
]


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
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose API it is for, when its name does not say so."),
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
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP",
            parser=typed(parse_text),
            help="Agents of this group may use it too; repeatable.",
        ),
    ] = None,
    goal: Annotated[
        list[str] | None,
        typer.Option(metavar="GOAL", help="Only under this goal, while it is open; repeatable."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD", parser=typed(parse_method), help="Only for this method; repeatable."
        ),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            parser=typed(parse_path_pattern),
            help="Only there and below; * stands for a part of one segment; repeatable.",
        ),
    ] = None,
    from_: Annotated[
        Reference | None,
        typer.Option(
            "--from",
            metavar="REFERENCE",
            parser=typed(parse_reference),
            help="Where it is kept instead, such as env:NAME or openbao:PATH#FIELD.",
        ),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Store a reference without trying to fetch it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Store a secret; its value is read from a hidden prompt or from stdin.

    `interlock secret providers` lists the names that need no --host. With --from no value is
    stored, but where to fetch it. Of a secret that is there already, what is not said stays as it
    is: a new value alone moves nothing, and nothing grows wider by itself. To begin anew, remove
    it first.
    """
    settings = settings_of(context)
    said = {
        "agents": frozenset(agent or ()),
        "groups": frozenset(group or ()),
        "goals": frozenset(goal or ()),
        "methods": frozenset(method or ()),
        "paths": frozenset(path or ()),
    }
    before = _known(settings, name)
    bindings = plan(name, host or (), recipe, provider, said, before)
    if unchecked and not from_:
        raise SecretInputError("--unchecked goes with --from")
    secret = from_ or read_key(name, parse_recipe(bindings[0].recipe))
    if not unchecked:
        try_out(bindings[0], fetched(secret) if isinstance(secret, Reference) else secret)
    with changing(settings, create=True) as home:
        for each in agent or ():
            home.registry.get(each)
        for each in goal or ():
            if home.goals.get(each) is None:
                raise SecretInputError(f"there is no goal {each!r}")
        home.set_secret(name, secret, bindings)
    if as_json:
        say_json(_public(name, bindings) | public(from_.text if from_ else ""))
        return
    say(f"Secret {name} is stored, bound to {_hosts(bindings)}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List names and where each may go; never a value."""
    settings = settings_of(context)
    with reading(settings) as records:
        names, bound = records.secrets(), records.bindings.all()
        kept = origins(settings, records, names)
    secrets = [(name, [b for b in bound if b.secret == name]) for name in names]
    if as_json:
        for name, bindings in secrets:
            say_json(_public(name, bindings) | public(kept.get(name, "")))
        return
    rows = (
        (name, _hosts(b), _recipes(b), _agents(b), _calls(b), kept.get(name, ""))
        for name, b in secrets
    )
    say_table(("name", "hosts", "recipe", "agents", "calls", "from"), rows)


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show where one secret may go, for whom and for what calls; never its value."""
    with reading(settings_of(context)) as records:
        if name not in records.secrets():
            raise SecretInputError(f"there is no secret named {name!r}")
        bindings = [b for b in records.bindings.all() if b.secret == name]
    if as_json:
        say_json(_public(name, bindings))
        return
    columns = ("host", "recipe", "service", "agents", "calls")
    say_table(
        columns,
        ((b.authority.short, b.recipe, b.service, _agents([b]), _calls([b])) for b in bindings),
    )


@app.command()
def providers(as_json: Json = False) -> None:
    """List the APIs of the catalogue: the secret's name, its hosts and how it travels."""
    for provider in Catalogue.shipped() if as_json else ():
        hosts = list(provider.hosts)
        fields = {"provider": provider.service, "secret": provider.secret, "hosts": hosts}
        say_json(fields | {"recipe": provider.recipe})
    if as_json:
        return
    rows = ((p.service, p.secret, ", ".join(p.hosts), p.recipe) for p in Catalogue.shipped())
    say_table(("provider", "secret", "hosts", "recipe"), rows)


app.command()(check)


@app.command()
def rotate(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Give a secret a new value, read like that of `set`; where it is bound stays as it is.

    One that is kept elsewhere is fetched anew by every front door, at its next call.
    """
    with changing(settings_of(context)) as home:
        if name not in home.secrets():
            raise SecretInputError(f"there is no secret named {name!r}")
        origin = home.origin(name)
        bound = [binding for binding in home.bindings.all() if binding.secret == name]
        recipe = parse_recipe(bound[0].recipe if bound else "bearer")
        secret = None if origin else read_key(name, recipe)
        if secret:
            for binding in bound:
                try_out(binding, secret)
        home.rotate_secret(name, secret)
    told(name, origin, as_json)


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


def _known(settings: Settings, name: str) -> list[Binding] | None:
    """The bindings of a secret that is there, None when it is not."""
    if not settings.database.exists():
        return None
    with changing(settings) as home:
        if name not in home.secrets():
            return None
        return home.bindings.of(name)


def _public(name: str, bindings: Sequence[Binding]) -> dict[str, Any]:
    return {
        "name": name,
        "bindings": [
            {
                "host": str(b.authority),
                "recipe": b.recipe,
                "agents": sorted(b.agents),
                "groups": sorted(b.groups),
                "goals": sorted(b.goals),
                "methods": sorted(b.methods),
                "paths": sorted(b.paths),
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
    named = {agent for b in bindings for agent in b.agents}
    grouped = {f"group {group}" for b in bindings for group in b.groups}
    return ", ".join([*sorted(named), *sorted(grouped)]) or (
        "every agent" if bindings else "nobody"
    )


def _calls(bindings: Sequence[Binding]) -> str:
    """The conditions beside who calls, in a few words."""
    said = {
        word
        for b in bindings
        for word in (*b.methods, *b.paths, *(f"goal {goal}" for goal in b.goals))
    }
    return ", ".join(sorted(said)) or "every call"
