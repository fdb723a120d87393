"""A canary run: one secret goes through everything, and is then looked for everywhere (I4)."""

import base64
import copy
import gc
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from broker import (
    BrokerError,
    Mask,
    Outgoing,
    RecipeError,
    Secret,
    SecretUnavailableError,
    TokenScopeError,
    forms_of,
    parse_recipe,
)
from broker.remote import Address, Client, serve
from interlock.custody import RemoteCustody
from interlock.verdict import Credential, grant_for
from tests.cli.terminal import INTERLOCK, Terminal
from tests.custody.stage import BOUND, KEY, NAME, OPENAI, WIRE, staged

FORMS = forms_of(KEY.encode())
NEW = "sk-ROTATED-9a8b7c6d5e4f3a2b"
WAIT_S = 60
MASTER = "cd" * 32


def found(*shown: object) -> list[bytes]:
    """The forms of the secret that stand in what was shown."""
    text = b"\n".join(s if isinstance(s, bytes) else str(s).encode() for s in shown)
    return [form for form in FORMS if form in text]


def everything(root: object, depth: int = 8) -> dict[int, object]:
    """Every object of ours that can be reached from one, as a debugger would go."""
    reached, edge = {id(root): root}, [root]
    for _ in range(depth):
        edge = [
            one
            for one in gc.get_referents(*edge)
            if id(one) not in reached
            and type(one).__module__.partition(".")[0] in ("broker", "interlock", "builtins")
            and not isinstance(one, type | str | bytes)
        ]
        reached |= {id(one): one for one in edge}
    return reached


async def test_no_object_shows_it(tmp_path: Path) -> None:
    """Printed, formatted, copied, pickled or dumped: whatever a call leaves in memory hides it."""
    async with staged("local", tmp_path) as stage:
        verdict = await stage.call()
        secret = stage.redeem(verdict)
        mask = stage.governor.mask_at(OPENAI)
        roots = [secret, mask, mask.scrubber(), verdict, stage.governor, stage.broker]
        ours = [
            one
            for root in roots
            for one in everything(root).values()
            if type(one).__module__.partition(".")[0] in ("broker", "interlock")
        ]
        assert any(isinstance(one, Secret) for one in ours)
        for one in ours:
            shown = [repr(one), str(one), f"{one}", json.dumps(one, default=repr)]
            assert found(*shown) == [], type(one)
        for one in (secret, copy.copy(secret), copy.deepcopy(secret), [secret], {"k": secret}):
            assert found(repr(one)) == []
            with pytest.raises(TypeError):
                pickle.dumps(one)
            with pytest.raises(TypeError):
                json.dumps(one)


async def test_no_error_shows_it(tmp_path: Path) -> None:
    """Nor does a traceback that prints every local variable of every frame."""
    async with staged("local", tmp_path) as stage:
        secret, outgoing = Secret(KEY), Outgoing("GET", "api.openai.com", "/", (), b"")
        unverified = replace(WIRE, verified=False)
        verdict = await stage.call()
        failures: list[tuple[type[BrokerError], Callable[[], object]]] = [
            (TokenScopeError, lambda: stage.redeem(verdict, unverified)),
            (RecipeError, lambda: parse_recipe("basic").apply(outgoing, secret, 0.0)),
            (RecipeError, lambda: parse_recipe("oauth2:client_credentials").check(secret)),
            (RecipeError, lambda: parse_recipe("sigv4:s3/eu-west-1").check(secret)),
        ]
        for kind, fails in failures:
            with pytest.raises(kind) as caught:
                fails()
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            assert found(*told.format(), repr(caught.value), str(caught.value.args)) == [], kind


async def test_no_error_about_a_broker_s_answer_shows_it(tmp_path: Path) -> None:
    """It came in base64, and what is wrong with the rest of the answer is told without it."""

    async def bad(question: object, who: str) -> dict[str, object]:
        return {"value": base64.b64encode(KEY.encode()).decode(), "recipe": "none of ours"}

    async with staged("local", tmp_path) as stage, serve(Address(tmp_path / "bad"), bad):
        verdict = await stage.call()
        grant = grant_for(verdict, Credential(BOUND, parse_recipe(BOUND.recipe), None), 30)
        custody = RemoteCustody(stage.door, Client(Address(tmp_path / "bad")), lambda _: None)
        with pytest.raises(SecretUnavailableError) as caught:
            await custody.release(grant, BOUND)
        custody.close()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert found(*told.format(), repr(caught.value)) == []


def test_a_mask_or_secret_cannot_be_written_by_mistake() -> None:
    """Not into a log line or a message, however it is put there."""
    secret, mask = Secret(KEY), Mask([KEY.encode()])
    assert found(f"{secret} {secret!r} {secret!s:>40} {mask}", "%s %r" % (secret, mask)) == []  # noqa: UP031


def test_no_command_and_no_file_shows_it(tmp_path: Path) -> None:
    """Every command that has to do with it; then every file of the home."""
    terminal = Terminal(tmp_path / "home")
    said = [terminal.does("secret", "set", NAME, stdin=KEY.encode())]
    for words in (
        ("secret", "list"),
        ("secret", "show", NAME, "--json"),
        ("secret", "check"),
        ("audit", "tail", "--json"),
        ("doctor", "--json"),
    ):
        said.append(terminal.run(*words))
    said.append(terminal.run("secret", "set", NAME, "--recipe", "basic", stdin=KEY.encode()))
    said.append(
        terminal.run("honeytoken", "add", "decoy", "--value-from-stdin", stdin=KEY.encode())
    )
    said.append(terminal.does("secret", "rotate", NAME, stdin=NEW.encode()))
    assert found(*(part for answer in said for part in (answer.out, answer.err))) == []
    assert found(*(path.read_bytes() for path in terminal.home.rglob("*") if path.is_file())) == []


def test_an_agent_s_process_does_not_hold_it(tmp_path: Path) -> None:
    """No key of a provider, a store or ours: not in its arguments, not in its environment.

    They stand in the environment of whoever starts it, as they do on many a machine.
    """
    if not Path("/proc/self/environ").exists():
        pytest.skip("/proc is there on Linux only")
    terminal = Terminal(tmp_path / "home", {"INTERLOCK_MASTER_KEY": MASTER})
    terminal.does("init")
    terminal.does("agent", "add", "research-agent", "--trust", "trusted")
    kept = (
        "--from",
        "env:BILLING",
        "--host",
        "api.example.com",
        "--recipe",
        "bearer",
        "--unchecked",
    )
    terminal.does("secret", "set", "billing", *kept)
    told = tmp_path / "pid"
    own = dict.fromkeys(("OPENAI_API_KEY", "BILLING", "VAULT_TOKEN"), KEY)
    program = f"import os,time;open({str(told)!r}, 'w').write(str(os.getpid()));time.sleep(600)"
    with socket.create_server(("127.0.0.1", 0)) as door:
        way = ("--proxy", f"127.0.0.1:{door.getsockname()[1]}")
        command = [INTERLOCK, "run", "--agent", "research-agent", *way, "--", sys.executable]
        run = subprocess.Popen(
            [*command, "-c", program],
            env=terminal.variables() | own,
            stdout=subprocess.DEVNULL,
        )
        try:
            agent = wait_for_pid(told)
            shown = [(Path("/proc") / agent / what).read_bytes() for what in ("environ", "cmdline")]
        finally:
            run.send_signal(signal.SIGTERM)
            run.wait(WAIT_S)
    assert b"INTERLOCK_SESSION=" in shown[0]
    assert found(*shown) == []
    assert MASTER.encode() not in b"".join(shown)


def wait_for_pid(told: Path) -> str:
    """Wait until the agent has said which process it is."""
    deadline = time.monotonic() + WAIT_S
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert int(told.read_text()) != os.getpid()
    return told.read_text()
