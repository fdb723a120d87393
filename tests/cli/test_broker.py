"""`interlock broker`, and what the other commands say in the home of a front door beside one."""

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.custody.stage import BOUND, NAME, door

SERVE = ("broker", "serve")
HERE = "127.0.0.1:1"
DISTANT = ("--listen", HERE, "--tls", "/", "--client", "door.example")


@pytest.fixture
def beside(tmp_path: Path) -> Terminal:
    """The home of a front door that has taken up the bindings of its broker."""
    socket = str(tmp_path / "broker.sock")
    with door(tmp_path, socket) as installation:
        installation.mirror([BOUND])
    return Terminal(tmp_path / "door", {"INTERLOCK_BROKER": socket})


def test_commands_know_where_the_secrets_are(beside: Terminal) -> None:
    """They are listed with their bindings, and worked on where they are kept."""
    (listed,) = beside.does("secret", "list", "--json").objects
    assert listed["name"] == NAME
    assert listed["from"] == f"broker:{beside.environ['INTERLOCK_BROKER']}"
    found = {check["subject"]: check["found"] for check in beside.run("doctor", "--json").objects}
    # Nobody serves there now.
    assert found["broker"].startswith(f"{beside.environ['INTERLOCK_BROKER']}: ")
    assert "secrets" not in found
    before = beside.snapshot()
    for words in (("secret", "set", NAME), ("secret", "rm", NAME)):
        assert "kept by the broker at" in beside.fails(2, *words, stdin=b"sk-12345")
    assert "it cannot be one" in beside.fails(2, *SERVE)
    assert beside.snapshot() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--user", "nobody-of-that-name"), "--user", id="an unknown user"),
        pytest.param(("--group", "no-group-of-that-name"), "--group", id="an unknown group"),
        pytest.param(("--user", "daemon", "--user", "sync"), "--group", id="users of two groups"),
        pytest.param(("--listen", HERE), "--tls", id="another machine without TLS"),
        pytest.param(("--listen", HERE, "--tls", "/"), "--client", id="whoever has a certificate"),
        pytest.param((*DISTANT, "--listen", "x"), "--listen", id="no host and port"),
        pytest.param((*DISTANT, "--socket", "/s"), "not both", id="two ways"),
        pytest.param(DISTANT, "key.pem", id="nothing to prove"),
        pytest.param(("--socket", "/nowhere/s"), "/nowhere/s", id="a folder that is not there"),
    ],
)
def test_what_cannot_be_served(lived_in: Terminal, words: tuple[str, ...], said: str) -> None:
    """One line names the option or the file."""
    assert said in lived_in.fails(2, *SERVE, *words)
