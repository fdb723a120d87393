"""`interlock honeytoken`: plant keys that nobody has a reason to use."""

from typing import Annotated

import typer

from broker import Secret, parse_recipe
from interlock.alerts.honeytokens import planted
from interlock.alerts.planting import Kind, imitate
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.secret_value import read_secret
from interlock.cli.words import parse_secret_name, typed

app = typer.Typer(help="Honeytokens: planted keys; whoever uses one is cut off at once.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        parser=typed(parse_secret_name),
        help="What the alarm will call it; best the place where it is planted.",
    ),
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    like: Annotated[Kind, typer.Option(help="What kind of key to imitate.")] = "openai",
    value_from_stdin: Annotated[
        bool, typer.Option("--value-from-stdin", help="Plant this value instead of a new one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a planted key and print it, this once.

    Put it where no work needs it: an .env file, a wiki page, a repository. The agent that sends
    it through the front door, in whatever part of a request, is quarantined at once.
    """
    settings = settings_of(context)
    made = "" if value_from_stdin else imitate(like)
    with changing(settings, create=True) as home:
        home.honeytokens.plant(
            name, Secret(made) if made else read_secret(name, parse_recipe("bearer"))
        )
    if as_json:
        say_json({"name": name} | ({"kind": like, "value": made} if made else {}))
        return
    if not made:
        say(f"Honeytoken {name} is watched for.")
        return
    say(f"Honeytoken {name} is watched for. Plant this value, which is shown this once:")
    say()
    say(f"  {made}", style="bold")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the planted keys; never a value."""
    with reading(settings_of(context)) as records:
        found = planted(records.database)
    if as_json:
        for each in found:
            say_json({"name": each.name, "planted_at": each.planted_at})
        return
    say_table(("name", "planted"), ((each.name, moment(each.planted_at)) for each in found))


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Stop watching for a planted key."""
    with changing(settings_of(context)) as home:
        home.honeytokens.remove(name)
    if as_json:
        say_json({"name": name, "removed": True})
        return
    say(f"Honeytoken {name} is not watched for any more.")
