"""`interlock session`: runs of an agent whose declaration is pinned."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.home import changing, reading, settings_of
from interlock.cli.key import read_stdin
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.delegation import LONGEST
from interlock.errors import RegistryError
from interlock.model import Declaration
from interlock.registry.sessions import Session

app = typer.Typer(help="Sessions: one run of an agent each, with its reason pinned.")

DEFAULT_TTL_S = 8 * 3600.0


def _text(words: str, metavar: str = "TEXT") -> Any:
    return typer.Option(metavar=metavar, parser=typed(parse_text), help=words)


SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session's id, ses_...")]
AgentName = Annotated[str, typer.Option(metavar="NAME", help="The agent that will call.")]
Goal = Annotated[str, _text("The goal that every call is for.", "GOAL")]
Intent = Annotated[str, _text("What the run is for.")]
Category = Annotated[str, _text("The category of that intent.", "CATEGORY")]
DelegationFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The chain on whose authority it acts; - for stdin."),
]
Ttl = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION", parser=typed(parse_duration), help="When it ends. Default: 8h."
    ),
]


@app.command()
def start(
    context: typer.Context,
    agent: AgentName,
    goal: Goal = "",
    intent: Intent = "",
    intent_category: Category = "",
    delegation: DelegationFile = None,
    ttl: Ttl = None,
    as_json: Json = False,
) -> None:
    """Start a session and print its token, this once: it stands wherever the agent's key could.

    What it pins holds for every call made with the token, whatever their headers say.
    """
    pinned = Declaration(intent, intent_category, goal, read_chain_file(delegation))
    with changing(settings_of(context)) as home:
        session, token = home.start_session(
            agent, pinned, ttl=ttl or DEFAULT_TTL_S, now=time.time()
        )
    if as_json:
        say_json(session.record | {"token": token})
        return
    say(f"Session {session.id} of {agent} is open until {moment(session.expires_at)}.")
    say("Its token is shown this once and not stored:")
    say()
    say(f"  {token}", style="bold")


@app.command("list")
def list_(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    as_json: Json = False,
) -> None:
    """List the open sessions; never a token."""
    now = time.time()
    with reading(settings_of(context)) as records:
        found = [s for s in records.sessions.all() if every or s.state(now) == "open"]
    if as_json:
        for session in found:
            say_json(session.record | {"state": session.state(now)})
        return
    columns = ("id", "state", "agent", "goal", "intent", "started", "ends")
    say_table(columns, (_row(session, now) for session in found))


@app.command()
def show(context: typer.Context, session_id: SessionId, as_json: Json = False) -> None:
    """Show one session: what it pins, and until when; never its token."""
    now = time.time()
    with reading(settings_of(context)) as records:
        session = records.sessions.get(session_id)
    record = session.record | {"state": session.state(now)}
    if as_json:
        say_json(record)
        return
    times = {name for name in record if name.endswith("_at")}
    for name, value in record.items():
        say(f"{name:<16} {moment(value) if name in times and value else value or '-'}")


@app.command()
def end(
    context: typer.Context,
    session_id: SessionId,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
    ] = "",
    as_json: Json = False,
) -> None:
    """End a session: its token proves nothing any more, and its connections are cut."""
    now = time.time()
    with changing(settings_of(context)) as home:
        session = home.sessions.end(session_id, now, reason)
    if as_json:
        say_json(session.record | {"state": session.state(now)})
        return
    say(f"Session {session.id} of {session.agent} has ended.")


def read_chain_file(file: Path | None, said: str = "--delegation") -> str:
    """Read the file with a chain, or stdin; raises RegistryError, naming it as it was `said`."""
    if file is None:
        return ""
    if str(file) == "-":
        return read_stdin(LONGEST + 2)
    try:
        with file.open("rb") as opened:
            return opened.read(LONGEST + 2).decode("ascii").strip()
    except OSError as e:
        raise RegistryError(f"{said}: {file}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise RegistryError(f"{said}: {file}: is not a chain of delegation") from None


def _row(session: Session, now: float) -> tuple[Any, ...]:
    pinned, times = session.pinned, (moment(session.started_at), moment(session.expires_at))
    return session.id, session.state(now), session.agent, pinned.goal, pinned.intent, *times
