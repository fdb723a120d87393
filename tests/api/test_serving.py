"""`interlock serve`: on loopback or by TLS, and never in the way of the other commands."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from interlock.api.serving import server_of
from interlock.client.url import is_loopback
from interlock.demo.certificates import Certificates
from interlock.demo.ports import free_ports
from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK, Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "home")


def test_it_serves_by_tls_and_stops_when_told(terminal: Terminal, tmp_path: Path) -> None:
    """A token that the command line made opens it; SIGTERM ends it without an error."""
    token = terminal.does("token", "add", "ops", "--role", "viewer", "--json").object["token"]
    certificates = Certificates.create(tmp_path / "tls", "localhost")
    (port,) = free_ports(1)
    tls = ("--tls-cert", str(certificates.chain), "--tls-key", str(certificates.key))
    words = [INTERLOCK, "serve", "--port", str(port), *tls, "--json", "--name", "API.example"]
    served = subprocess.Popen(
        words,
        env=terminal.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert served.stdout
        assert f"https://127.0.0.1:{port}" in served.stdout.readline()
        trust = ssl.create_default_context(cafile=certificates.ca)
        headers = {"Authorization": f"Bearer {token}"}
        base = f"https://localhost:{port}"
        with httpx.Client(
            verify=trust, trust_env=False, base_url=base, headers=headers, timeout=20
        ) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    assert client.get("/status").json()["status"] == "ok"
                    assert client.get(f"/status?key={token}").status_code == 400
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            for name, status in (("api.example", 200), ("other.example", 421)):
                assert client.get("/health", headers={"Host": name}).status_code == status
        with (
            socket.create_connection(("localhost", port), timeout=30) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as odd,
        ):
            odd.sendall(b"no request\r\n\r\n")
            assert odd.recv(4096).startswith(b"HTTP/1.1 400 ")
    finally:
        served.send_signal(signal.SIGTERM)
        said, _ = served.communicate(timeout=30)
    assert served.returncode in (0, -signal.SIGTERM)
    assert said == "", "what was asked is in no log, nor that it was no request"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--host", "0.0.0.0"), "give --tls-cert", id="every address without TLS"),
        pytest.param(("--tls-cert", "/nowhere"), "--tls-cert /nowhere", id="no such certificate"),
        pytest.param(("--host", "192.0.2.1"), "--host 192.0.2.1", id="an address that is not ours"),
        pytest.param(("--name", "a.example:80"), "is not a host name", id="a name with a port"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    terminal: Terminal, words: tuple[str, ...], said: str
) -> None:
    """Exit 2, and nothing listens."""
    (port,) = free_ports(1)
    assert said in terminal.fails(2, "serve", "--port", str(port), *words)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_loopback_is_known(host: str, local: bool) -> None:
    """By address, or by the one name."""
    assert is_loopback(host) is local


def test_the_commands_do_not_load_the_web() -> None:
    """FastAPI and uvicorn are for `serve` alone."""
    code = (
        "import sys, interlock.cli; print({'fastapi', 'uvicorn', 'starlette'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a service that waits half a second for a request to come."""
    monkeypatch.setattr("interlock.api.patience.REQUEST_S", 0.5)
    (port,) = free_ports(1)
    with Installation(Settings.load(home=tmp_path / "home")) as records:
        server = server_of(records, "127.0.0.1", port)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield port
        server.should_exit = True
        thread.join()


HEAD = b"POST /authorize HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD, id="half a head"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n{", id="half a body"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /", id="a second one"),
    ],
)
def test_who_sends_nothing_is_not_waited_for(hurried: int, begun: bytes) -> None:
    """Else a few hundred such connections, of anybody, would be all that is served.

    A drop now and then does not help: the whole request has to come in time.
    """
    with socket.create_connection(("127.0.0.1", hurried), timeout=10) as slow:
        slow.sendall(begun)
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < 30:
            try:
                slow.settimeout(0.1)
                ended = not slow.recv(4096)
            except TimeoutError:
                with suppress(ConnectionError):
                    slow.sendall(b"x" if begun else b"")
            except ConnectionError:
                ended = True
        assert ended
    answer = httpx.get(f"http://127.0.0.1:{hurried}/health", trust_env=False, timeout=20)
    assert answer.json() == {"status": "ok"}
