"""Bad input: exit 2, one line that names what is wrong, and nothing is written."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.terminal import INTERLOCK, Terminal

ADD = ("agent", "add", "a1")
KEY = b"sk-12345"
SET = ("secret", "set", "s1", "--host", "a.example")
OPENAI = ("secret", "set", "openai-api-key")
ENV = ("env", "--agent", "research-agent")
GOAL = ("goal", "add", "g1")
GRANT = ("delegation", "grant", "--from", "user:ada", "--to", "research-agent")


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        pytest.param(("agent", "add", "no/slash"), b"", "agent name", id="a bad agent name"),
        pytest.param(("agent", "add", "unidentified"), b"", "agent name", id="a name of ours"),
        pytest.param(("agent", "add", "a\x1b[2Jb"), b"", "\\x1b", id="a name with an escape"),
        pytest.param((*ADD, "--key-ttl", "soon"), b"", "duration", id="a word for a duration"),
        pytest.param((*ADD, "--key-ttl", "0d"), b"", "duration", id="no duration at all"),
        pytest.param((*ADD, "--key-ttl", "999999999d"), b"", "longer than", id="millions of years"),
        pytest.param((*ADD, "--trust", "revoked"), b"", "--trust", id="trust to start without"),
        pytest.param((*ADD, "--owner", "a\nb"), b"", "one line", id="an owner of two lines"),
        pytest.param((*ADD, "--intent", "x" * 1025), b"", "1024", id="an endless intent"),
        pytest.param(("agent", "show", "nobody"), b"", "'nobody'", id="show an unknown agent"),
        pytest.param(("agent", "rm", "nobody"), b"", "'nobody'", id="rm an unknown agent"),
        pytest.param(("agent", "rotate", "nobody"), b"", "'nobody'", id="rotate an unknown one"),
        pytest.param(("agent", "trust", "nobody"), b"", "'nobody'", id="trust an unknown agent"),
        pytest.param(SET, b"a\r\nb", "line break", id="a secret with CR and LF"),
        pytest.param(SET, b"a\nb\n", "line break", id="a secret of two lines"),
        pytest.param(SET, b"a\0b", "control", id="a secret with a NUL"),
        pytest.param(SET, b"", "empty", id="an empty secret"),
        pytest.param((*SET, "value"), b"x", "unexpected", id="a value among the arguments"),
        pytest.param((*SET, "--recipe", "jwt"), b"x", "known are", id="an unknown recipe"),
        pytest.param((*SET, "--recipe", "header:Host"), b"x", "Host", id="a recipe that bends"),
        pytest.param((*SET, "--recipe", "basic"), KEY, "user:password", id="a basic half"),
        pytest.param((*SET, "--agent", "nobody"), KEY, "'nobody'", id="bound to nobody"),
        pytest.param(("secret", "set", "a b"), b"x", "secret name", id="a bad secret name"),
        pytest.param(("secret", "set", "s1"), b"x", "--host", id="a secret bound nowhere"),
        pytest.param((*OPENAI, "--host", "https://a"), b"x", "HOST", id="a URL for a host"),
        pytest.param((*OPENAI, "--host", "a:0"), b"x", "port", id="a port that is none"),
        pytest.param((*OPENAI, "--host", "*.com"), b"x", "*.com", id="a wildcard"),
        pytest.param(("secret", "rm", "s1"), b"", "no secret", id="rm an unknown secret"),
        pytest.param(("audit", "show", "dec_0"), b"", "dec_0", id="an unknown decision"),
        pytest.param(("audit", "query", "--since", "1y"), b"", "--since", id="a unit unknown"),
        pytest.param(("audit", "query", "--decision", "no"), b"", "--decision", id="an answer"),
        pytest.param(("audit", "tail", "-n", "0"), b"", "-n", id="a tail of nothing"),
        pytest.param(("env", "--agent", "nobody"), b"", "'nobody'", id="env of an unknown agent"),
        pytest.param((*GOAL, "--action", "banana"), b"", "no action of", id="a goal of no action"),
        pytest.param((*GOAL, "--action", "execute/chat"), b"", "no action of", id="nor a part"),
        pytest.param((*GRANT, "--action", "banana"), b"", "'banana' is no", id="grant of nothing"),
        pytest.param((*GRANT, "--action", "read/banana"), b"", "'banana' is no", id="or of a part"),
        pytest.param((*ENV, "--base-url", "x=https://a"), b"", "service", id="unknown service"),
        pytest.param((*ENV, "--base-url", "openai=http://a"), b"", "https", id="base URL in clear"),
        pytest.param((*ENV, "--base-url", "openai=https://a/b"), b"", "host", id="URL with a path"),
        pytest.param((*ENV, "--format", "fish"), b"", "--format", id="an unknown shell"),
        pytest.param(("agent",), b"", "Missing command", id="a noun without a verb"),
        pytest.param(("agent", "list", "--all"), b"", "--all", id="an unknown option"),
        pytest.param(("teapot",), b"", "teapot", id="an unknown noun"),
        pytest.param(("--home", "", "agent", "list"), b"", "--home", id="an empty home"),
    ],
)
def test_refuses(lived_in: Terminal, words: tuple[str, ...], stdin: bytes, said: str) -> None:
    """One line says what is wrong; agents, secrets and ledger stay as they were."""
    before = lived_in.snapshot()
    assert said in lived_in.fails(2, *words, stdin=stdin)
    assert lived_in.snapshot() == before


@pytest.mark.parametrize("words", ["verify", "show dec_0", "query", "stats", "export"])
def test_an_archive_that_is_not_there(lived_in: Terminal, words: str) -> None:
    """It is a word mistyped: no sign of tampering, and no ledger without events."""
    for where in ("/nonexistent", str(lived_in.home / "interlock.db")):
        said = lived_in.fails(2, "audit", *words.split(), "--archive", where)
        assert "'--archive'" in said
        assert where in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("mode", "set", "service", "nosvc", "enforce"), "'nosvc'", id="a service"),
        pytest.param(("mode", "set", "service", "openai", "enforce"), "", id="a known one"),
        pytest.param(("mode", "set", "service", "a.example", "enforce"), "", id="a host"),
        pytest.param(("mode", "set", "group", "nogroup", "enforce"), "'nogroup'", id="a group"),
        pytest.param(("mode", "set", "group", "lab", "enforce"), "", id="one with an agent"),
        pytest.param(("agent", "add", "a1", "--goal", "nogoal"), "'nogoal'", id="a goal"),
    ],
)
def test_warns_of_what_is_not_there_yet(
    lived_in: Terminal, words: tuple[str, ...], said: str
) -> None:
    """It may come later, so it is done; a slip is seen at once."""
    answer = lived_in.does(*words)
    assert answer.out
    assert len(answer.err.splitlines()) == bool(said)
    assert said in answer.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("agent", "rm", "a1"), id="rm"),
        pytest.param(("agent", "trust", "a1"), id="trust"),
        pytest.param(("secret", "rm", "s1"), id="secret rm"),
    ],
)
def test_changes_no_home_that_does_not_exist(terminal: Terminal, words: tuple[str, ...]) -> None:
    """There is nothing to change, so nothing is created for it."""
    assert "run `interlock init`" in terminal.fails(2, *words)
    assert not terminal.home.exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("audit", "verify"), id="reading"),
        pytest.param(("agent", "add", "a1"), id="changing"),
        pytest.param(("init",), id="init"),
    ],
)
def test_a_database_that_is_none(terminal: Terminal, words: tuple[str, ...]) -> None:
    """A file that SQLite cannot read is named and left alone."""
    terminal.home.mkdir(mode=0o700)
    database = terminal.home / "interlock.db"
    database.write_bytes(b"something else entirely. " * 400)
    before = database.read_bytes()
    assert str(database) in terminal.fails(2, *words)
    assert database.read_bytes() == before


@pytest.mark.parametrize("words", [("audit", "verify"), ("agent", "add", "a1"), ("init",)])
def test_a_database_of_another_program(terminal: Terminal, words: tuple[str, ...]) -> None:
    """It is told whose tables it has, and that file is left alone."""
    terminal.home.mkdir(mode=0o700)
    with closing(sqlite3.connect(terminal.home / "interlock.db")) as theirs:
        theirs.execute("create table customers (name)")
    before = (terminal.home / "interlock.db").read_bytes()
    assert "of something else, with a table 'customers'" in terminal.fails(2, *words)
    assert (terminal.home / "interlock.db").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"mode = ", "interlock.toml", id="broken TOML"),
        pytest.param(b'mode = "lax"', "interlock.toml: mode: ", id="an impossible mode"),
        pytest.param(b"modus = 1", "interlock.toml: modus: ", id="an unknown key"),
        pytest.param(b'allow_private = "10.0.0.0/99"', "toml: allow_private: ", id="bad CIDR"),
        pytest.param(b'store = "postgresql://x"', "interlock.toml: store: ", id="another store"),
        pytest.param(b"\xff\xfe", "UTF-8", id="bytes that are no text"),
    ],
)
def test_a_bad_settings_file(lived_in: Terminal, content: bytes, said: str) -> None:
    """The line names the setting."""
    (lived_in.home / "interlock.toml").write_bytes(content)
    assert said in lived_in.fails(2, "agent", "add", "a1")


def test_a_database_that_somebody_has_locked(lived_in: Terminal) -> None:
    """One line names it; here after less patience than a command has."""
    program = (
        "import interlock.store.database as database; database.BUSY_MS = 50\n"
        "from interlock.cli import app; app(['agent', 'add', 'a1'])"
    )
    file = lived_in.home / "interlock.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            env=lived_in.variables(),
            check=False,
        )
    assert done.returncode == 2
    said = f"interlock: {file}: cannot write: database is locked"
    assert done.stderr.decode().splitlines() == [said]


def test_a_home_that_cannot_be_made(terminal: Terminal) -> None:
    """A file stands where the home should be."""
    terminal.home.write_text("")
    assert str(terminal.home) in terminal.fails(2, "init")


def test_a_master_key_that_is_none(terminal: Terminal) -> None:
    """The variable is named, its value is not."""
    line = terminal.fails(2, "init", INTERLOCK_MASTER_KEY="0123456789")
    assert "INTERLOCK_MASTER_KEY" in line
    assert "0123456789" not in line


@pytest.mark.parametrize("words", [("agent", "list"), ("agent", "list", "--json")])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is there on Linux only")
def test_a_full_disk(lived_in: Terminal, words: tuple[str, ...]) -> None:
    """What cannot be printed is an error, not a traceback."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [INTERLOCK, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=lived_in.variables(),
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == ["interlock: [Errno 28] No space left on device"]
