"""`interlock mode`: enforce for one agent, group or service before enforcing for all."""

from typing import Annotated, Literal

import typer

from interlock.cli.exits import NoError
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, complain, say, say_json, say_table
from interlock.cli.words import parse_text, typed
from interlock.installation import Installation
from interlock.model import Mode
from interlock.store.modes import ModeRule, Scope

app = typer.Typer(help="Modes: for whom denials bind already, beside the global mode.")

Which = Annotated[Scope, typer.Argument(metavar="SCOPE", help="agent, group or service.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=typed(parse_text), help="Which of them.")
]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
]


@app.command("set")
def set_(
    context: typer.Context,
    scope: Which,
    name: Name,
    mode: Annotated[
        Literal["observe", "enforce"], typer.Argument(metavar="MODE", help="observe or enforce.")
    ],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Set the mode of one agent, group or service; the stricter of it and the global one holds."""
    rule = ModeRule(scope, name, Mode(mode), reason)
    with changing(settings_of(context)) as home:
        if scope == "agent":
            home.registry.get(name)
        home.modes.set(rule)
        if not _is_known(home, scope, name):
            complain(f"{scope} {name!r}: nothing is known by that name yet")
    if as_json:
        say_json(_public(rule))
        return
    say(f"{scope} {name}: {mode} mode from the next call on.")


@app.command("rm")
def remove(
    context: typer.Context, scope: Which, name: Name, reason: Reason = "", as_json: Json = False
) -> None:
    """Go back to the global mode; exit 1 when there was nothing to remove."""
    with changing(settings_of(context)) as home:
        if not home.modes.clear(scope, name, reason):
            raise NoError(f"{scope} {name} has no mode of its own")
    if as_json:
        say_json({"scope": scope, "name": name})
        return
    say(f"{scope} {name}: the global mode from the next call on.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the modes that were set."""
    with reading(settings_of(context)) as records:
        rules = records.modes.all()
    if as_json:
        for rule in rules:
            say_json(_public(rule))
        return
    say_table(
        ("scope", "name", "mode", "reason"), ((r.scope, r.name, r.mode, r.reason) for r in rules)
    )


def _is_known(home: Installation, scope: str, name: str) -> bool:
    """Say whether a mode holds for anybody yet; a host may be called whenever an agent likes."""
    match scope:
        case "agent":
            return True
        case "group":
            return any(name in agent.groups for agent in home.registry.all())
    services = {provider.service for provider in home.catalogue}
    hosts = {binding.authority.short for binding in home.bindings.all()}
    servers = {known.server.name for known in home.servers.all()}
    return "." in name or ":" in name or name in services | hosts | servers


def _public(rule: ModeRule) -> dict[str, str]:
    return {
        "scope": rule.scope,
        "name": rule.name,
        "mode": str(rule.mode),
        "reason": rule.reason,
    }
