"""A front door beside a broker: three processes, real sockets, and a kill -9 of the broker."""

import json
import os
import resource
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import trustme

from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.installation import Installation
from interlock.model import Agent, Mode, Trust
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK
from tests.custody.stage import CLIENT, prove
from tests.door.world import BARE_ENVIRON, CHAT, OPENAI_KEY, TRUSTED, World


@contextmanager
def broker(home: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`interlock broker serve`, once it listens."""
    command = [INTERLOCK, "--home", str(home), "broker", "serve", *options, "--json"]
    environ = BARE_ENVIRON | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["listening"]
            yield process
        finally:
            process.terminate()
            process.wait(30)


def until_answered(client: httpx.Client, url: str) -> httpx.Response:
    """Call until the front door has noticed that its broker is back."""
    deadline = time.monotonic() + 30
    while (answer := client.post(url, json=CHAT)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer


def furnish(home: Path, broker: str, tls: Path | None = None) -> str:
    """Make the home of a front door with one agent; answers its key."""
    settings = Settings.load(home=home, broker=broker, broker_tls=tls)
    with Installation(settings) as installation:
        return installation.registry.add(Agent(TRUSTED, owner="ada", trust=Trust.TRUSTED))


def through(door: FrontDoor, key: str) -> httpx.Client:
    """An HTTP client of that agent."""
    trusted = ssl.create_default_context(cafile=door.ca)
    return httpx.Client(proxy=door.proxy(TRUSTED, key), verify=trusted, trust_env=False, timeout=30)


def test_a_key_crosses_for_one_call_and_none_stays_at_the_door(
    world: World, tmp_path: Path
) -> None:
    """The upstream gets it, the agent a mask; no broker, no call, in observe mode too.

    In the front door's home there is no master key and no secret, sealed or open; were one of the
    two to crash, no image of its memory would be left.
    """
    socket, home = tmp_path / "broker.sock", tmp_path / "door"
    key = furnish(home, str(socket))
    door = world.door(Mode.OBSERVE, "--set", f"interlock_broker={socket}", home=home, reverse=())
    url = f"{world.openai}/v1/chat/completions"
    at = ("--socket", str(socket))
    with broker(world.home, *at) as process, door:
        with through(door, key) as client:
            first = until_answered(client, url)
            for each in (process, door.process):
                assert resource.prlimit(each.pid, resource.RLIMIT_CORE) == (0, 0)
            echo = client.get(f"{world.openai}/echo")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            without = client.post(url, json=CHAT)
            with broker(world.home, *at):
                again = until_answered(client, url)
        log = door.log
    assert (first.status_code, without.status_code, again.status_code) == (200, 503, 200)
    assert "secret_unavailable" in without.text
    sent = [received.values(b"authorization") for received in world.received()]
    assert sent == [[b"Bearer " + OPENAI_KEY.encode()]] * 3
    assert OPENAI_KEY not in first.text + echo.text + again.text + log
    assert "***" in echo.text
    assert sorted(path.name for path in (home / "keys").glob("*")) == [
        "checkpoint-0001.key",
        "door.key",
        "sct-0001.key",
    ]
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert OPENAI_KEY.encode() not in kept


def test_over_mutual_tls_a_key_crosses_to_the_front_door_that_is_let_in(
    world: World, tmp_path: Path
) -> None:
    """By the name on its certificate: let in under another one only, it gets no key and no call
    out. The broker's own ledger says to whom the key went.
    """
    authority, home = trustme.CA(), tmp_path / "door"
    prove(tmp_path / "server", authority, "localhost")
    prove(tmp_path / "client", authority, CLIENT)
    (port,) = free_ports(1)
    at, tls = f"tls://localhost:{port}", tmp_path / "client"
    key = furnish(home, at, tls)
    listen = ("--listen", f"127.0.0.1:{port}", "--tls", str(tmp_path / "server"), "--client")
    options = ("--set", f"interlock_broker={at}", "--set", f"interlock_broker_tls={tls}")
    door = world.door(Mode.OBSERVE, *options, home=home, reverse=())
    url = f"{world.openai}/v1/chat/completions"
    with ExitStack() as stack:
        with broker(world.home, *listen, CLIENT):
            client = stack.enter_context(through(stack.enter_context(door), key))
            first = until_answered(client, url)
            released = world.rows("secret_access")[-1]["body"]["released_to"]
            (sent,) = world.received()
        with broker(world.home, *listen, "elsewhere.example"):
            refused = client.post(url, json=CHAT)
    assert (first.status_code, refused.status_code) == (200, 503)
    assert released == f"{CLIENT} at 127.0.0.1"
    assert sent.values(b"authorization") == [b"Bearer " + OPENAI_KEY.encode()]
    assert "secret_unavailable" in refused.text
    assert world.received() == [sent]
