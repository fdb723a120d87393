"""`interlock delegation`: let an agent act for a person, hand on a part of it, take it back."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.actions import require_actions
from interlock.cli.exits import NO, NoError
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.key import key_file, parse_word, read_signing_key
from interlock.cli.link import link_fields, public_link, public_scope
from interlock.cli.person import person_of_token, record_grant
from interlock.cli.printing import Json, say, say_fields, say_json
from interlock.cli.session import read_chain_file
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.delegation import (
    ANY,
    DEFAULT_LIMIT,
    Chain,
    DelegationError,
    Scope,
    parse_holder,
    parse_link_id,
    read_chain,
    verify,
)
from interlock.delegation import attenuate as attenuate_chain
from interlock.delegation import grant as grant_chain
from interlock.errors import InterlockError
from interlock.model import Entity
from interlock.store.delegations import Delegations

app = typer.Typer(help="Delegations: signed links by which people and agents let agents act.")

DEFAULT_LIFE_S = 8 * 3600


class DelegationInputError(InterlockError):
    """What was asked for cannot be written into a link."""


def parse_agent(text: str) -> Entity:
    """Read the name of an agent; raises ValueError."""
    return parse_holder(f'Agent::"{text}"')


def _option(words: str, metavar: str) -> Any:
    return typer.Option(metavar=metavar, parser=typed(parse_text), help=words)


To = Annotated[
    Entity, typer.Option(metavar="AGENT", parser=typed(parse_agent), help="The agent that may act.")
]
Actions = Annotated[
    list[str] | None,
    _option("An action or group, or GROUP/ACTION; repeatable. Default: all that can be.", "ACTION"),
]
Resources = Annotated[
    list[str] | None,
    _option("A pattern such as 'Model::\"gpt-*\"'; repeatable. Default: all.", "PATTERN"),
]
Intents = Annotated[
    list[str] | None, _option("An intent category; repeatable. Default: all.", "CATEGORY")
]
Goals = Annotated[list[str] | None, _option("A goal; repeatable. Default: all.", "GOAL")]
Expires = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION",
        parser=typed(parse_duration),
        help="How long it holds. Default: 8h, or as long as the chain.",
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="How many links may follow. Default: all that can."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The private key; default: in the home."),
]
ChainText = Annotated[
    str,
    typer.Argument(metavar="CHAIN", help="What grant printed, or a file with it; - for stdin."),
]


@app.command()
def grant(
    context: typer.Context,
    to: To,
    from_: Annotated[
        Entity | None,
        typer.Option(
            "--from", metavar="HOLDER", parser=typed(parse_word), help="Who lets it: user:NAME."
        ),
    ] = None,
    as_me: Annotated[
        bool,
        typer.Option(
            "--as-me",
            help="The person of an OIDC token lets it: INTERLOCK_ID_TOKEN, a prompt or stdin.",
        ),
    ] = False,
    action: Actions = None,
    resource: Resources = None,
    intent: Intents = None,
    goal: Goals = None,
    expires: Expires = None,
    depth: Depth = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Print a new chain, by which a person lets an agent act.

    With --from it needs nothing but the key. With --as-me the person is bound to the token's
    subject (`interlock identity`), and the grant is recorded.
    """
    now = time.time()
    if (from_ is None) != as_me:
        raise DelegationInputError("give one of --from and --as-me")
    settings = settings_of(context)
    from_ = from_ or person_of_token(settings)
    every = (ANY,)
    scope = _narrowed(
        Scope(every, every, every, every, now, now + DEFAULT_LIFE_S, DEFAULT_LIMIT),
        actions=action,
        resources=resource,
        intents=intent,
        goals=goal,
        expires=expires and now + expires,
        depth=depth,
    )
    parts = {part for each in scope.actions for part in each.split("/")}
    require_actions(settings, sorted(parts - {ANY}))
    signing_key = read_signing_key(key or key_file(settings, from_))
    chain = grant_chain(signing_key, from_, to, scope, now)
    if as_me:
        record_grant(settings, read_chain(chain)[-1])
    _say_chain(chain, as_json)


@app.command()
def attenuate(
    context: typer.Context,
    chain: Annotated[
        str,
        typer.Option(metavar="CHAIN", help="What the agent was given, or a file; - for stdin."),
    ],
    to: To,
    action: Actions = None,
    resource: Resources = None,
    intent: Intents = None,
    goal: Goals = None,
    expires: Expires = None,
    depth: Depth = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Print the chain with a link more, by which its last agent lets another act.

    It needs nothing but the agent's key. What is not given stays as the chain has it; a link
    that would allow more than the chain is refused.
    """
    now, chain = time.time(), _text_of(chain)
    last = read_chain(chain)[-1]
    if not action and ANY in last.scope.actions:
        raise DelegationInputError("--action: the chain allows every action, name those to hand on")
    scope = _narrowed(
        replace(last.scope, depth=max(last.scope.depth - 1, 0)),
        actions=action,
        resources=resource,
        intents=intent,
        goals=goal,
        expires=expires and now + expires,
        depth=depth,
    )
    signing_key = read_signing_key(key or key_file(settings_of(context), last.to))
    _say_chain(attenuate_chain(chain, signing_key, to, scope, now), as_json)


@app.command()
def show(chain: ChainText, as_json: Json = False) -> None:
    """Print what each link says, whether or not it is true: nothing is verified."""
    for number, link in enumerate(read_chain(_text_of(chain)), start=1):
        if as_json:
            say_json({"link": number} | public_link(link))
            continue
        say(f"Link {number}: {link.from_} lets {link.to}", style="bold")
        say_fields(link_fields(link))


@app.command("verify")
def verify_(
    context: typer.Context,
    chain: ChainText,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="The agent that calls with it.")],
    as_json: Json = False,
) -> None:
    """Check a chain as the front door does: exit 0 valid, 1 not valid and why."""
    with reading(settings_of(context)) as records:
        known = Delegations(records.database, records.ledger.admin)
        keys, revoked = known.keys, known.revoked
    try:
        verified = verify(_text_of(chain), keys, revoked, agent=agent, now=time.time())
    except DelegationError as e:
        if not as_json:
            raise NoError(str(e)) from None
        say_json({"valid": False, "link": e.link, "problem": e.why})
        raise typer.Exit(NO) from None
    _say_verified(verified, as_json)


@app.command()
def revoke(
    context: typer.Context,
    link_id: Annotated[
        str,
        typer.Argument(
            metavar="LINK_ID", parser=typed(parse_link_id), help="The id of the link, dlg_..."
        ),
    ],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Take a link back, and with it every chain that it is in."""
    with changing(settings_of(context)) as home:
        Delegations(home.database, home.ledger.admin).revoke_link(link_id, reason)
    if as_json:
        say_json({"id": link_id, "revoked": True})
        return
    say(f"Link {link_id} is revoked, and every chain that it is in.")


def _narrowed(scope: Scope, **asked: Any) -> Scope:
    """Change what was asked for; raises DelegationInputError."""
    given = {name: value for name, value in asked.items() if value not in (None, [])}
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    try:
        return replace(scope, **given | lists)
    except ValueError as e:
        raise DelegationInputError(str(e)) from None


def _text_of(chain: str) -> str:
    """Take the chain as it was typed, from its file, or from stdin."""
    return chain if chain.startswith("v4.") else read_chain_file(Path(chain), "chain")


def _say_chain(chain: str, as_json: bool) -> None:
    if as_json:
        say_json({"chain": chain} | public_link(read_chain(chain)[-1]))
        return
    say(chain)


def _say_verified(chain: Chain, as_json: bool) -> None:
    if as_json:
        actors = [str(actor) for actor in chain.actors]
        by = {"delegated_by": str(chain.delegated_by), "actors": actors, "ids": list(chain.ids)}
        say_json({"valid": True, "depth": chain.depth} | by | {"scope": public_scope(chain.scope)})
        return
    say("The delegation is valid:", " -> ".join(map(str, chain.actors)))
    say_fields(link_fields(chain.links[-1]))
