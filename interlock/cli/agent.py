"""`interlock agent`: register agents, vouch for them, cut them off."""

import getpass
import shlex
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from interlock.cli.description import (
    Capabilities,
    Description,
    Framework,
    Label,
    Type,
    Version,
    described,
    plain,
    text,
)
from interlock.cli.environment import CA_FILE, proxy_url
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, complain, moment, say, say_fields, say_json, say_table
from interlock.cli.standing import offer
from interlock.cli.words import parse_duration, typed
from interlock.model import Agent, Trust
from interlock.registry import Profile, Registry
from interlock.registry.leases import health_of
from interlock.registry.profile import KINDS
from interlock.settings import Settings

app = typer.Typer(help="Agents: who may call, with which key, and how far they are trusted.")

# Of the profile, what is said of every agent; for the rest there is `interlock server`.
_SEEN = (
    *("type", "description", "framework", "version", "labels", "capabilities", "endpoints"),
    *("signals", "evidence", "source", "health", "first_seen", "last_seen"),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]
Ttl = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION",
        parser=typed(parse_duration),
        help="When the key ends, such as 90d; never, when not given.",
    ),
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    owner: Annotated[str, text("Who answers for the agent.", "USER")] = "",
    group: Annotated[list[str] | None, text("A group it is in; repeatable.", "GROUP")] = None,
    trust: Annotated[
        Literal["trusted", "unverified"],
        typer.Option(help="Whether a person vouches for it from the start."),
    ] = "unverified",
    intent: Annotated[str, text("What it is for, when it does not say so itself.")] = "",
    intent_category: Annotated[str, text("The category of that intent.", "CATEGORY")] = "",
    goal: Annotated[str, text("The goal that it works for.", "GOAL")] = "",
    type_: Type = None,
    description: Description = None,
    framework: Framework = None,
    version: Version = None,
    label: Label = None,
    capabilities: Capabilities = None,
    key_ttl: Ttl = None,
    lease: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION",
            parser=typed(parse_duration),
            help="Cut it off when it sends no heartbeat for so long, such as 90s.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register an agent and print its key, this once."""
    groups = tuple(dict.fromkeys(group or ()))
    agent = Agent(name, owner, groups, Trust(trust), intent, intent_category, goal)
    profile = described(
        Profile(source=f"user:{getpass.getuser()}"),
        type=type_,
        description=description,
        framework=framework,
        version=version,
        label=label,
        capabilities=capabilities,
    )
    settings = settings_of(context)
    with changing(settings, create=True) as home:
        key = home.registry.add(agent, ttl=key_ttl, lease_s=lease, profile=profile)
        ends = home.registry.key_expires_at(name)
        told = _public(home.registry, agent)
        if goal and home.goals.get(goal) is None:
            complain(f"there is no goal {goal!r} yet: `interlock goal add {goal}`")
    if as_json:
        say_json(told | {"key": key})
        return
    say(f"Agent {name} is registered ({trust}). Its key is shown this once and not stored:")
    _say_key(settings, name, key, ends)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all agents."""
    with reading(settings_of(context)) as records:
        found = [_public(records.registry, agent) for agent in records.registry.all()]
    if as_json:
        for one in found:
            say_json(one)
        return
    columns = ("name", "trust", "owner", "groups", "type", "framework", "intent")
    say_table((*columns, "key ends", "lapses"), (_row(one, *columns) for one in found))


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show all that is known of one agent."""
    with reading(settings_of(context)) as records:
        found = _public(records.registry, records.registry.get(name))
        seen = records.registry.seen(name)
    if as_json:
        say_json(found)
        return
    fields = found | {kind: seen.profile.names(kind) for kind in KINDS}
    fields |= {each: _end(found[each]) for each in ("expires_at", "lapses_at")}
    fields |= {each: moment(found[each]) for each in ("first_seen", "last_seen") if found[each]}
    del fields["capabilities"]
    say_fields((field.replace("_", " "), plain(value)) for field, value in fields.items())


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    type_: Type = None,
    description: Description = None,
    framework: Framework = None,
    version: Version = None,
    label: Label = None,
    capabilities: Capabilities = None,
    as_json: Json = False,
) -> None:
    """Say more of an agent: what is not given stays, labels replace those it had."""
    with changing(settings_of(context)) as home:
        home.registry.get(name)
        profile = described(
            home.registry.seen(name).profile,
            type=type_,
            description=description,
            framework=framework,
            version=version,
            label=label,
            capabilities=capabilities,
        )
        changed = home.registry.describe(name, profile, time.time())
    if as_json:
        say_json({"name": name, "changed": changed})
        return
    say(f"Agent {name}: changed {', '.join(changed) or 'nothing'}.")


offer(
    app,
    lambda home: home.registry.set_trust,
    "Agent",
    "The agent's name.",
    {
        "trust": "Vouch for an agent, or lift its quarantine.",
        "quarantine": "Cut an agent off until it is trusted again.",
        "revoke": "Cut an agent off for good.",
    },
)


@app.command()
def heartbeat(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Say that an agent lives: its lease begins anew, also when it had lapsed."""
    with changing(settings_of(context)) as home:
        lease = home.registry.heartbeat(name, time.time())
    if as_json:
        say_json({"name": name, "lease_s": lease.seconds, "lapses_at": lease.ends_at})
        return
    say(f"Agent {name} is good until {moment(lease.ends_at)}.")


@app.command()
def rotate(context: typer.Context, name: Name, key_ttl: Ttl = None, as_json: Json = False) -> None:
    """Replace the key of an agent; the old one ends at once."""
    settings = settings_of(context)
    with changing(settings) as home:
        key = home.registry.rotate_key(name, ttl=key_ttl)
        ends = home.registry.key_expires_at(name)
    if as_json:
        say_json({"name": name, "key": key, "expires_at": ends})
        return
    say(f"Agent {name} has a new key, shown this once and not stored; the old one has ended:")
    _say_key(settings, name, key, ends)


@app.command()
def rm(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Forget an agent and its keys; what it did stays in the ledger.

    Its name leaves every binding of a secret; one that was for this agent alone ends.
    """
    with changing(settings_of(context)) as home:
        ended = home.registry.remove(name)
    if as_json:
        say_json({"name": name, "removed": True, "unbound": list(map(str, ended))})
        return
    say(f"Agent {name} is removed.")
    for binding in ended:
        say(f"Secret {binding.secret} is no longer bound to {binding.authority.short}.")


def _say_key(settings: Settings, name: str, key: str, ends: float | None) -> None:
    say()
    say(f"  {key}", style="bold")
    say()
    say("With two variables it calls through the front door at its default address:")
    say()
    say(f"  export HTTPS_PROXY={proxy_url(name, key)}")
    say(f"  export SSL_CERT_FILE={shlex.quote(str(settings.ca / CA_FILE))}")
    say()
    say(f"`interlock env --agent {name}` prints what other clients read.")
    say(f"The key ends: {_end(ends)}.")


def _public(registry: Registry, agent: Agent) -> dict[str, Any]:
    """All that is known of an agent, as JSON values."""
    lease, known = registry.lease(agent.name), registry.seen(agent.name)
    seen = known.record | {"health": health_of(known, lease, time.time())}
    return {
        "name": agent.name,
        "owner": agent.owner,
        "groups": list(agent.groups),
        "trust": agent.trust,
        "intent": agent.intent,
        "intent_category": agent.intent_category,
        "goal": agent.goal,
        "expires_at": registry.key_expires_at(agent.name),
        "lease_s": lease and lease.seconds,
        "lapses_at": lease and lease.ends_at,
        **{name: seen[name] for name in _SEEN},
    }


def _row(found: Mapping[str, Any], *columns: str) -> tuple[Any, ...]:
    ends = _end(found["expires_at"]), _end(found["lapses_at"])
    return *(plain(found[name]) for name in columns), *ends


def _end(ends: float | None) -> str:
    if ends is None:
        return "never"
    return f"{moment(ends)}{' (over)' if ends <= time.time() else ''}"
