"""`interlock discover`, typed: what it says, what it changes, and how it ends."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK, Terminal

KEY = "ghp_CANARY0123456789abcdefghij"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A machine with one MCP server in a configuration file, and nothing else to find."""
    (tmp_path / ".cursor").mkdir()
    server = {"command": "npx", "args": ["server-x"], "env": {"GITHUB_TOKEN": KEY}}
    text = json.dumps({"mcpServers": {"github": server}})
    (tmp_path / ".cursor" / "mcp.json").write_text(text)
    return Terminal(tmp_path / "home")


def test_a_dry_run_says_what_would_change_and_changes_nothing(terminal: Terminal) -> None:
    """Also as the first thing that is typed. Then the scan does it, the next finds nothing new."""
    dry = ("discover", "scan", "--dry-run", "--source", "files")
    said = terminal.does(*dry).out
    assert "github  new" in said
    assert "1 new, 0 changed, 0 unchanged, 0 stale (dry run" in said
    assert not terminal.home.exists()
    terminal.does("init")
    before = terminal.events()
    assert terminal.does(*dry).out == said
    assert terminal.events() == before
    (found,) = terminal.does("discover", "scan", "--source", "files", "--json").objects
    assert (found["change"], found["findings"][0]["id"]) == ("new", "plain_secret")
    again = terminal.does("discover", "scan", "--source", "files").out
    assert "0 new, 0 changed, 1 unchanged, 0 stale" in again
    assert KEY not in said + again + str(found)
    told = terminal.does("audit", "tail").out
    assert "new server github, seen by files [mcp_unpinned_package, plain_secret]" in told
    assert "looked at files: 0 new, 0 changed, 1 unchanged, 0 stale" in told


def test_a_server_that_changed_or_went_is_told(terminal: Terminal, tmp_path: Path) -> None:
    """What changed is named; what is gone is stale, once."""
    terminal.does("discover", "scan", "--source", "files")
    file = tmp_path / ".cursor" / "mcp.json"
    file.write_text(file.read_text().replace("server-x", "server-y"))
    changed = terminal.does("discover", "scan", "--source", "files", "--json").object
    assert (changed["change"], changed["fields"]) == ("changed", ["args"])
    file.write_text("{}")
    gone = terminal.does("discover", "scan", "--source", "files", "--json").object
    assert gone["change"] == "stale"
    assert terminal.does("discover", "scan", "--source", "files", "--json").objects == []


def test_a_source_that_fails_is_named_and_the_others_count(terminal: Terminal) -> None:
    """Exit code 1, one line, no traceback, and what was found is registered."""
    away = f"unix://{terminal.home}/none.sock"
    answer = terminal.run("discover", "scan", "--source", "docker,files", DOCKER_HOST=away)
    assert answer.code == 1
    assert "docker: the engine does not answer" in answer.err
    assert "not looked at: docker" in answer.err
    assert "Traceback" not in answer.err
    assert "github" in answer.out
    alone = terminal.run("discover", "scan", "--source", "docker", DOCKER_HOST=away)
    assert alone.out == "0 new, 0 changed, 0 unchanged, 0 stale\n", "of others it tells nothing"


def test_a_configuration_that_is_wrong_is_one_clear_line(
    terminal: Terminal, tmp_path: Path
) -> None:
    """It names file, section and key, and nothing is scanned."""
    (tmp_path / "d.toml").write_text("[scanner]\nintervall = 3")
    line = terminal.fails(2, "discover", "scan", "--config", str(tmp_path / "d.toml"))
    assert "d.toml: [scanner] intervall: there is no such key" in line
    line = terminal.fails(2, "discover", "scan", "--source", "files,clouds")
    assert "there is no source 'clouds': docker, kubernetes" in line
    assert not terminal.home.exists()


def test_a_missing_extra_says_what_to_install(terminal: Terminal, tmp_path: Path) -> None:
    """The SDKs are loaded only when their source is looked at."""
    for name in ("docker", "kubernetes"):
        (tmp_path / "hidden" / name).mkdir(parents=True)
        (tmp_path / "hidden" / name / "__init__.py").write_text("raise ImportError('not here')")
    hidden = str(tmp_path / "hidden")
    answer = terminal.run("discover", "scan", "--source", "docker,kubernetes", PYTHONPATH=hidden)
    assert answer.code == 1
    for name in ("docker", "kubernetes"):
        assert f"pip install 'interlock[{name}]'" in answer.err


def test_the_daemon_stops_cleanly(terminal: Terminal) -> None:
    """It looks at once, and ends by itself with exit code 0 when it is told to."""
    words = ("discover", "run", "--source", "files", "--interval", "1")
    with subprocess.Popen(
        [INTERLOCK, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=terminal.variables(),
    ) as daemon:
        assert daemon.stdout is not None
        assert b"new server github" in daemon.stdout.readline()
        daemon.send_signal(signal.SIGTERM)
        out, err = daemon.communicate(timeout=30)
    assert (daemon.returncode, err) == (0, b"")
    assert b"discovery has stopped" in out


def test_the_daemon_does_not_wait_for_a_look_that_takes_hours(
    terminal: Terminal, tmp_path: Path
) -> None:
    """SIGTERM in the middle of a scan ends it within seconds, with exit code 0."""
    slow = "[network]\nenabled = true\nranges = ['127.0.0.0/16']\nrate = 1\n"
    (tmp_path / "d.toml").write_text(slow)
    words = ("discover", "run", "--source", "network", "--config", str(tmp_path / "d.toml"))
    with subprocess.Popen(
        [INTERLOCK, *words], stdout=subprocess.PIPE, env=terminal.variables()
    ) as daemon:
        with Installation(Settings.load(home=terminal.home)) as installation:
            deadline = time.monotonic() + 60
            while not installation.database.one("select 1 from turns"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        daemon.send_signal(signal.SIGTERM)
        out, _ = daemon.communicate(timeout=60)
    assert (daemon.returncode, b"discovery has stopped" in out) == (0, True)
