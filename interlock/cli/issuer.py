"""`interlock issuer`: whose tokens prove agents and people."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.errors import InterlockError
from interlock.federation import FieldError, Issuer, parse_issuer
from interlock.federation.issuer import ALGORITHMS, MAX_AGE_S, MOST_AGENTS
from interlock.federation.statement import INSTALL

app = typer.Typer(help="Issuers: whose tokens (OIDC, JWT-SVID) prove agents and people.")

MOST_CA_BYTES = 1 << 20


class IssuerInputError(InterlockError):
    """An issuer cannot be used as it was described."""


Url = Annotated[
    str, typer.Argument(metavar="URL", help="Its `iss`, or spiffe://trust-domain for JWT-SVIDs.")
]


def _text(words: str, metavar: str) -> Any:
    return typer.Option(metavar=metavar, parser=typed(parse_text), help=words)


@app.command()
def add(
    context: typer.Context,
    url: Url,
    audience: Annotated[str, _text("Tokens have to be made out for this audience.", "AUDIENCE")],
    jwks: Annotated[str, _text("Where its keys are; default: as its discovery says.", "URL")] = "",
    agent_claim: Annotated[
        str, _text("The claim that is the agent's name; default: only bound identities.", "CLAIM")
    ] = "",
    group_claim: Annotated[
        str, _text("The claim with groups, beside those of the registration.", "CLAIM")
    ] = "",
    algorithm: Annotated[
        list[str] | None, _text("An algorithm it may sign with; repeatable.", "ALGORITHM")
    ] = None,
    max_age: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION",
            parser=typed(parse_duration),
            help="How old a token may be, whatever it says. Default: 24h.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The authorities for its TLS; default: the system's."),
    ] = None,
    auto_register: Annotated[
        bool, typer.Option("--auto-register", help="Register unknown agents, as unverified.")
    ] = False,
    most_agents: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="So many it may register that nobody has looked at yet."
        ),
    ] = MOST_AGENTS,
    as_json: Json = False,
) -> None:
    """Take the word of an issuer about who calls."""
    if find_spec("joserfc") is None:
        raise IssuerInputError(f"joserfc {INSTALL}")
    described = Issuer(
        url,
        audience,
        jwks,
        agent_claim,
        group_claim,
        algorithms=tuple(dict.fromkeys(algorithm or ALGORITHMS)),
        max_age_s=max_age or MAX_AGE_S,
        auto_register=auto_register,
        ca=_read(ca),
        most_agents=most_agents,
    )
    try:
        issuer = parse_issuer(described)
    except FieldError as e:
        option = "URL" if e.field == "url" else f"--{e.field.replace('_', '-')}"
        raise IssuerInputError(f"{option}: {e.why}") from None
    with changing(settings_of(context), create=True) as home:
        home.federation.issuers.add(issuer)
    if as_json:
        say_json(issuer.record)
        return
    say(f"Tokens of {url} for {audience} prove agents, from the next call on.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the issuers."""
    with reading(settings_of(context)) as records:
        issuers = records.federation.issuers.all().values()
    if as_json:
        for issuer in issuers:
            say_json(issuer.record)
        return
    columns = ("issuer", "audience", "agent claim", "group claim", "registers")
    say_table(columns, (_row(issuer) for issuer in issuers))


@app.command()
def rm(context: typer.Context, url: Url, as_json: Json = False) -> None:
    """Take its word no longer; connections that rest on it end at once."""
    with changing(settings_of(context)) as home:
        home.federation.issuers.remove(url)
    if as_json:
        say_json({"url": url, "removed": True})
        return
    say(f"Tokens of {url} prove nobody any more.")


def _row(issuer: Issuer) -> tuple[str, ...]:
    registers = f"up to {issuer.most_agents}" if issuer.auto_register else "no"
    claims = (issuer.agent_claim or "-", issuer.group_claim or "-")
    return issuer.url, issuer.audience, *claims, registers


def _read(ca: Path | None) -> str:
    if ca is None:
        return ""
    try:
        with ca.open("rb") as file:
            found = file.read(MOST_CA_BYTES).decode("ascii", "replace")
    except OSError as e:
        raise IssuerInputError(f"--ca: {ca}: {e.strerror}") from None
    if not found.strip():
        raise IssuerInputError(f"--ca: {ca} is empty")
    return found
