"""A session's token stands wherever an agent's key does, and `interlock run` lives by one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from interlock.model import Declaration, Mode
from interlock.registry.sessions import Session
from tests.cli.terminal import INTERLOCK
from tests.door.patience import assert_cut, wait_for
from tests.door.world import BARE_ENVIRON, CHAT, OPENAI_KEY, TRUSTED, World

PINNED = Declaration(intent="summarise recent papers", intent_category="Research")


def begin(world: World, pinned: Declaration = PINNED) -> tuple[Session, str]:
    """Start a session as the command does."""
    return world.change(lambda i: i.start_session(TRUSTED, pinned, ttl=600, now=time.time()))


@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_session_pins_the_declaration(world: World, style: str) -> None:
    """No header is needed, none can change it, and the ledger names the session."""
    session, token = begin(world)
    proxy = world.doors[Mode.ENFORCE].proxy(TRUSTED, token) if style == "proxy" else None
    base = world.openai if proxy else world.base(Mode.ENFORCE, "openai")
    headers = {"Interlock-Intent-Category": "Administration"}
    if not proxy:
        headers["Authorization"] = f"Bearer {token}"
    trust = world.trust(Mode.ENFORCE)
    with httpx.Client(
        proxy=proxy, verify=trust, trust_env=False, headers=headers, timeout=20
    ) as client:
        answer = client.post(f"{base}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    world.carried(OPENAI_KEY)
    body = world.events(answer.headers["interlock-decision-id"])[0]["body"]
    assert (body["intent"], body["intent_category"]) == (PINNED.intent, "Research")
    assert body["facts"]["session"] == session.id


def test_ending_a_session_cuts_its_connections(world: World, mode: Mode) -> None:
    """In both modes; the next call is refused and nothing leaves."""
    session, token = begin(world)
    proxy, trust = world.doors[mode].proxy(TRUSTED, token), world.trust(mode)
    with httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=20) as client:
        url = f"{world.openai}/v1/chat/completions"
        if mode is Mode.OBSERVE:
            url = f"{world.openai}/ticks?count=1000&interval=20"
            with client.stream("GET", url) as stream:
                events = stream.iter_raw()
                next(events)
                world.change(lambda i: i.sessions.end(session.id, time.time()))
                assert_cut(events)
        else:
            world.change(lambda i: i.sessions.end(session.id, time.time()))
        before = len(world.received())
        with pytest.raises(httpx.ProxyError, match="407"):
            client.post(url, json=CHAT)
        assert len(world.received()) == before


CHILD = """
import json, os, urllib.request
names = ("OPENAI_API_KEY", "GITHUB_TOKEN", "NO_PROXY", "INTERLOCK_SESSION")
request = urllib.request.Request(
    os.environ["URL"], b'{"model": "gpt-4o", "messages": []}', {"Content-Type": "application/json"}
)
answer = urllib.request.urlopen(request)
print(json.dumps({"status": answer.status, "decision": answer.headers["Interlock-Decision-Id"]}
    | {name: os.environ.get(name) for name in names}))
raise SystemExit(7)
"""


def command(world: World, *words: str) -> list[str]:
    """The command line of a governed run."""
    door = world.doors[Mode.ENFORCE].address
    said = ("--agent", TRUSTED, "--intent", PINNED.intent, "--proxy", door, "--json", "--")
    return [INTERLOCK, "--home", str(world.home), "run", *said, *words]


def last_session(world: World) -> Session:
    """The newest session."""
    return world.change(lambda i: i.sessions.all())[-1]


def test_a_run_is_one_session_of_an_unmodified_program(world: World) -> None:
    """It calls through the front door, holds no provider's key, and its exit code is told."""
    url = f"{world.openai}/v1/chat/completions"
    own = {"URL": url, "OPENAI_API_KEY": "sk-raw", "NO_PROXY": "*"}
    done = subprocess.run(
        command(world, sys.executable, "-c", CHILD),
        capture_output=True,
        env=BARE_ENVIRON | own,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == 200
    assert told["OPENAI_API_KEY"].startswith("ils_")
    assert told["NO_PROXY"] is None
    facts = world.events(told["decision"])[0]["body"]
    assert facts["intent"] == PINNED.intent
    assert facts["facts"]["session"] == told["INTERLOCK_SESSION"] == last_session(world).id
    assert last_session(world).state(time.time()) == "ended"
    assert json.loads(done.stderr)["id"] == told["INTERLOCK_SESSION"]


def test_a_signal_reaches_the_command_and_the_session_ends(world: World, tmp_path: Path) -> None:
    """The exit code is the one that a shell would tell."""
    ready = tmp_path / "ready"
    sleeper = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    run = subprocess.Popen(command(world, sys.executable, "-c", sleeper), env=BARE_ENVIRON)
    wait_for(ready.exists)
    assert last_session(world).state(time.time()) == "open"
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 128 + signal.SIGTERM
    assert last_session(world).state(time.time()) == "ended"


def test_a_run_that_outlasts_its_session_says_so(world: World) -> None:
    """There is nothing left to end, and that is no error."""
    words = command(world, sys.executable, "-c", "import time; time.sleep(1.2)")
    words[words.index("--json")] = "--ttl=1s"
    done = subprocess.run(
        words, capture_output=True, text=True, env=BARE_ENVIRON, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["interlock: the session ran out before the command ended"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({TRUSTED: "nobody"}, "no agent named 'nobody'", id="an unknown agent"),
        pytest.param({"python": "no-such-thing"}, "there is no such command", id="no such command"),
        pytest.param({"DOOR": "127.0.0.1:1"}, "no front door answers", id="no front door"),
    ],
)
def test_what_cannot_be_governed_is_not_run(
    world: World, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    """One line, exit 2, and the command never started."""
    ran, before = tmp_path / "ran", len(world.change(lambda i: i.sessions.all()))
    words = command(world, "python", "-c", f"import os; os.mkdir({str(ran)!r})")
    change = {world.doors[Mode.ENFORCE].address if k == "DOOR" else k: v for k, v in change.items()}
    environ = BARE_ENVIRON | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [change.get(word, word) for word in words],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    assert (done.returncode, ran.exists()) == (2, False)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(world.change(lambda i: i.sessions.all())) == before
