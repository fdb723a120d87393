"""`interlock policy`: look at policies as the front door would load them."""

from pathlib import Path
from typing import Annotated

import typer

from interlock.apdp import PolicyFolder
from interlock.calls import Catalogue
from interlock.cli.exits import NoError
from interlock.cli.home import settings_of
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.errors import PolicyError
from interlock.governor import require_coverage

app = typer.Typer(help="Policies: what may be done, by whom, and why.")


@app.callback()
def main() -> None:
    """Keep `check` a word of its own while it is the only verb."""


@app.command()
def check(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The folder; default: the one that is in force."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a folder of policies as the front door does; exit 1 when it would not load."""
    try:
        checked = load_as_front_door(folder or settings_of(context).policies)
    except PolicyError as e:
        raise NoError(str(e)) from None
    policies = checked.current
    if as_json:
        listed = [{"id": p.id, "description": p.description} for p in policies.by_id.values()]
        say_json({"folder": str(checked.folder), "digest": policies.digest, "policies": listed})
        return
    say(f"{len(policies)} policies, set {policies.digest}, from {checked.folder}")
    say()
    say_table(("policy", "description"), ((p.id, p.description) for p in policies.by_id.values()))


def load_as_front_door(folder: Path | None) -> PolicyFolder:
    """Load a set that can judge every call there is; raises PolicyError."""
    loaded = PolicyFolder(folder)
    require_coverage(loaded.current, Catalogue.shipped())
    return loaded
