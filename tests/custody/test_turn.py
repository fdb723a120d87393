"""Front doors over one database take turns with a refresh token that is good once."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.exchange import Answer, Received
from interlock.demo.upstream import Upstream
from interlock.installation import Installation
from interlock.model import Authority, Binding
from interlock.settings import Settings

BINDING = Binding("mail", Authority("api.example.com", 443), "oauth2:refresh_token")
PROCESS = """
import asyncio, sys
from pathlib import Path
from interlock.custody import LocalCustody
from interlock.installation import Installation
from interlock.settings import Settings
from tests.custody.test_turn import BINDING

async def main():
    with Installation(Settings.load(home=Path(sys.argv[1]))) as installation:
        print("ready", flush=True)
        sys.stdin.readline()
        _, secret = await LocalCustody(installation).ready(BINDING)
        print(secret.reveal().decode())

asyncio.run(main())
"""


class TokenServer(Upstream):
    """Slow, and each refresh token is good once: `reused` counts those that come again."""

    reused = 0

    def _answer(self, request: Received) -> Answer:
        time.sleep(0.3)
        shown = parse_qs(request.body.decode())["refresh_token"][0]
        number = len(self.received)
        if shown != f"refresh-{number - 1:08}":
            self.reused += 1
            return Answer.json({"error": "invalid_grant"}, status=400)
        answer = {"access_token": f"access-{number:08}", "refresh_token": f"refresh-{number:08}"}
        return Answer.json(answer | {"expires_in": 3600})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TokenServer]:
    with TokenServer(Certificates.create(tmp_path / "tls", "localhost")) as server:
        yield server


def test_two_processes_never_use_one_refresh_token_twice(
    server: TokenServer, tmp_path: Path
) -> None:
    """Each waits for the other, reads what the other was given, and what is last is stored.

    Broken by letting everybody have the turn at once.
    """
    grant = {"token_url": f"{server.url}/t", "client_id": "c", "refresh_token": "refresh-00000000"}
    home = tmp_path / "home"
    with Installation(Settings.load(home=home)) as installation:
        installation.set_secret("mail", Secret(json.dumps(grant)), [BINDING])
    environ = {"SSL_CERT_FILE": str(tmp_path / "tls" / "ca.pem"), "PYTHONPATH": str(Path.cwd())}
    words = [sys.executable, "-c", PROCESS, str(home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(words, env=environ, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    told = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told.append(process.communicate(timeout=60)[0].strip())
    assert sorted(told) == ["access-00000001", "access-00000002"]
    assert server.reused == 0
    with Installation(Settings.load(home=home)) as installation:
        kept = json.loads(installation.secret("mail").reveal())
    assert kept["refresh_token"] == "refresh-00000002"
