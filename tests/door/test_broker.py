"""A front door beside a broker: three processes, real sockets, and a kill -9 of the broker."""

import json
import os
import resource
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from interlock.installation import Installation
from interlock.model import Agent, Mode, Trust
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK
from tests.door.world import BARE_ENVIRON, CHAT, OPENAI_KEY, TRUSTED, World


@contextmanager
def broker(home: Path, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`interlock broker serve`, once it listens."""
    command = [INTERLOCK, "--home", str(home), "broker", "serve", "--socket", str(socket), "--json"]
    environ = BARE_ENVIRON | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["listening"] == str(socket)
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


def test_a_key_crosses_for_one_call_and_none_stays_at_the_door(
    world: World, tmp_path: Path
) -> None:
    """The upstream gets it, the agent a mask; no broker, no call, in observe mode too.

    In the front door's home there is no master key and no secret, sealed or open; were one of the
    two to crash, no image of its memory would be left.
    """
    socket, home = tmp_path / "broker.sock", tmp_path / "door"
    with Installation(Settings.load(home=home, broker=str(socket))) as installation:
        key = installation.registry.add(Agent(TRUSTED, owner="ada", trust=Trust.TRUSTED))
    door = world.door(Mode.OBSERVE, "--set", f"interlock_broker={socket}", home=home, reverse=())
    url = f"{world.openai}/v1/chat/completions"
    with broker(world.home, socket) as process, door:
        with httpx.Client(
            proxy=door.proxy(TRUSTED, key),
            verify=ssl.create_default_context(cafile=door.ca),
            trust_env=False,
            timeout=30,
        ) as client:
            first = until_answered(client, url)
            for each in (process, door.process):
                assert resource.prlimit(each.pid, resource.RLIMIT_CORE) == (0, 0)
            echo = client.get(f"{world.openai}/echo")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            without = client.post(url, json=CHAT)
            with broker(world.home, socket):
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
