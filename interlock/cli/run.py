"""`interlock run`: a command as one governed session of an agent."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FrameType
from typing import Annotated

import typer

from broker.vault import MASTER_KEY_VARIABLE
from interlock.calls import Catalogue
from interlock.cli.env import existing, parse_proxy
from interlock.cli.environment import (
    BASE_URLS,
    CA_FILE,
    DEFAULT_PROXY,
    JAVA_TRUST_STORE,
    KEY_VARIABLE,
    Way,
)
from interlock.cli.home import changing, settings_of
from interlock.cli.isolation import seen_from_inside, start
from interlock.cli.printing import Json, complain, say_json
from interlock.cli.session import (
    DEFAULT_TTL_S,
    AgentName,
    Category,
    DelegationFile,
    Goal,
    Intent,
    Ttl,
    read_chain_file,
)
from interlock.cli.words import typed
from interlock.errors import InterlockError
from interlock.installation import Installation
from interlock.model import Authority, Declaration
from interlock.registry.sessions import Session
from interlock.settings import Settings

SESSION_VARIABLE = "INTERLOCK_SESSION"
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
# With these the child would go past the front door, or open its secrets.
PAST_THE_DOOR = ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy")
OF_STORES = ("BAO_TOKEN", "VAULT_TOKEN", "BAO_SECRET_ID", "VAULT_SECRET_ID")
WITHHELD = (*PAST_THE_DOOR, *OF_STORES, MASTER_KEY_VARIABLE)
# How a secret is stored that stands in a variable (`interlock secret set --from env:NAME`).
IN_VARIABLE = "env:"
CONNECT_S = 5.0


class RunError(InterlockError):
    """The command cannot be run as a governed one; nothing was started."""


def run(
    context: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="What to run, behind --, and its words.")
    ],
    agent: AgentName,
    goal: Goal = "",
    intent: Intent = "",
    intent_category: Category = "",
    delegation: DelegationFile = None,
    ttl: Ttl = None,
    proxy: Annotated[
        Authority | None,
        typer.Option(
            metavar="HOST:PORT",
            parser=typed(parse_proxy),
            help="Where the front door listens; default 127.0.0.1:8080.",
        ),
    ] = None,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate", help="In a network in which there is nothing but the front door."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a command as one session of an agent; its exit code is the command's.

    The command gets proxy, certificate and the session's token in its environment, and no
    provider's key: where one stands, the token takes its place. Signals are passed on. The
    session ends with the command. Without a front door that answers nothing is run. With --json
    one object about the session goes to stderr. --isolate needs a Linux that allows user
    namespaces, and no root; where it cannot isolate, nothing is run.
    """
    settings, door = settings_of(context), proxy or DEFAULT_PROXY
    program = shutil.which(command[0])
    if program is None:
        raise RunError(f"{command[0][:80]}: there is no such command")
    certificate = existing(settings.ca / CA_FILE)
    _require_door(door)
    pinned = Declaration(intent, intent_category, goal, read_chain_file(delegation))
    with _session(settings, agent, pinned, ttl or DEFAULT_TTL_S, as_json=as_json) as started:
        id_, token, taken = started
        seen = seen_from_inside(door) if isolate else door
        way = Way(agent, token, certificate, settings.ca / JAVA_TRUST_STORE, seen)
        environ = environment(os.environ, way, id_, taken)
        words = [program, *command[1:]]
        code = _wait(
            lambda: start(words, environ, door) if isolate else subprocess.Popen(words, env=environ)
        )
    raise typer.Exit(code)


def environment(
    own: Mapping[str, str], way: Way, session_id: str, taken: Collection[str] = ()
) -> dict[str, str]:
    """What the child sees: our environment, with the session wherever a key stood.

    `taken` are the variables that hold secrets of ours under any other name.
    """
    known = {p.secret.upper().replace("-", "_") for p in Catalogue.shipped()}
    slots = (known & own.keys()) | {f"{name}_API_KEY" for name, _ in BASE_URLS.values()}
    kept = {name: own[name] for name in own.keys() - {*WITHHELD, *taken}}
    session = {KEY_VARIABLE: way.key, SESSION_VARIABLE: session_id}
    return kept | dict.fromkeys(slots, way.key) | way.variables() | session


def _variables(home: Installation) -> Collection[str]:
    """The variables in which secrets stand; none where a broker has them."""
    if home.settings.broker:
        return ()
    origins = map(home.origin, home.secrets())
    return {one.removeprefix(IN_VARIABLE) for one in origins if one.startswith(IN_VARIABLE)}


@contextlib.contextmanager
def _session(
    settings: Settings, agent: str, pinned: Declaration, ttl: float, *, as_json: bool
) -> Iterator[tuple[str, str, Collection[str]]]:
    """A session for as long as the command runs, and the variables that hold our secrets.

    Meanwhile the store is closed.
    """
    with changing(settings) as home:
        taken = _variables(home)
        session, token = home.start_session(agent, pinned, ttl=ttl, now=time.time())
    try:
        if as_json:
            with contextlib.redirect_stdout(sys.stderr):
                say_json(session.record)
        yield session.id, token, taken
    finally:
        _end(settings, session)


def _end(settings: Settings, session: Session) -> None:
    """End a session, or say why there is nothing to end."""
    now = time.time()
    if not session.holds(now):
        complain("the session ran out before the command ended")
        return
    try:
        with changing(settings) as home:
            home.sessions.end(session.id, now, "the command has ended")
    except InterlockError as e:
        complain(str(e))


def _wait(begin: Callable[[], subprocess.Popen[bytes]]) -> int:
    """Run a command to its end, pass signals on, and answer its exit code as a shell does."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the child too, which must not get it twice.
        if child is None:
            early.append(number)
        elif number not in (signal.SIGINT, signal.SIGQUIT) or not sys.stdin.isatty():
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        child = begin()
        for number in early:
            child.send_signal(number)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _require_door(door: Authority) -> None:
    """Raise RunError when nobody listens there: a run never goes past the front door."""
    try:
        socket.create_connection((door.host, door.port), CONNECT_S).close()
    except OSError as e:
        said = e.strerror or str(e)
        raise RunError(f"no front door answers at {door}: {said}; start it, or give --proxy") from e
