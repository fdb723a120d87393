"""`interlock secret`."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from broker import parse_recipe
from interlock.cli.secret_value import parse_value
from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.conftest import KEY
from tests.cli.terminal import INTERLOCK, Terminal

ANY = {"agents": [], "groups": [], "goals": [], "methods": [], "paths": []}
OPENAI = ANY | {"host": "api.openai.com:443", "recipe": "bearer", "service": "openai"}


def test_the_catalogue_knows_where_a_key_goes(terminal: Terminal) -> None:
    """A name of the catalogue needs no host and no recipe."""
    terminal.does("secret", "set", "openai-api-key", stdin=b"sk-1-abcd\n")
    terminal.does("secret", "set", "anthropic-api-key", stdin=b"sk-2-abcd\r\n")
    anthropic, openai = terminal.does("secret", "list", "--json").objects
    assert openai == {"name": "openai-api-key", "bindings": [OPENAI]}
    assert anthropic["bindings"][0]["recipe"] == "header:x-api-key"


def test_another_host_speaks_the_same_api(lived_in: Terminal) -> None:
    """A secret of the catalogue carries its provider along; other secrets carry none."""
    bind = ("--host", "LLM.example:8443", "--host", "llm2.example", "--agent", "research-agent")
    said = lived_in.does(
        "secret", "set", "openai-api-key", *bind, "--json", stdin=b"sk-1-abcd"
    ).object
    common = ANY | {"recipe": "bearer", "agents": ["research-agent"], "service": "openai"}
    hosts = [{"host": "llm.example:8443"}, {"host": "llm2.example:443"}]
    assert said["bindings"] == [host | common for host in hosts]
    other = ("github", "--host", "api.github.com", "--recipe", "header:X-Token", "--json")
    (bound,) = lived_in.does("secret", "set", *other, stdin=b"ghp_abcd").object["bindings"]
    assert (bound["service"], bound["recipe"]) == ("", "header:X-Token")


def test_the_value_is_nowhere_to_be_seen(terminal: Terminal) -> None:
    """Not in the output, the database, its log, or the process list."""
    with Installation(Settings.load(home=terminal.home)):  # keeps the write-ahead log alive
        command = [INTERLOCK, "secret", "set", "openai-api-key", "--json"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, env=terminal.variables(), **pipes) as process:
            seen = [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
            visible = b"".join(path.read_bytes() for path in seen if path.exists())
            out, _ = process.communicate(KEY.encode())
        files = terminal.snapshot()
    assert process.returncode == 0
    assert any(name.endswith("-wal") for name in files)
    assert not any(KEY.encode() in bytes_ for bytes_ in (visible, out, *files.values()))
    shown = terminal.does("secret", "list").out + terminal.does("audit", "tail").out
    assert KEY not in shown


def test_a_prompt_hides_what_is_typed(terminal: Terminal) -> None:
    """On a terminal the value is asked for, and not echoed."""
    outer, inner = pty.openpty()
    command = [INTERLOCK, "secret", "set", "openai-api-key"]
    options = {"stdin": inner, "stdout": inner, "stderr": inner, "start_new_session": True}
    with subprocess.Popen(command, env=terminal.variables(), **options) as process:
        screen = b""
        while b"Value of openai-api-key" not in screen:
            screen += os.read(outer, 1024)
        os.write(outer, KEY.encode() + b"\n")
        process.wait(30)
    os.close(inner)
    screen += os.read(outer, 4096)
    os.close(outer)
    assert process.returncode == 0
    assert b"is stored" in screen
    assert KEY.encode() not in screen


def test_rm_forgets_value_and_bindings(lived_in: Terminal) -> None:
    """What is removed is bound to nothing; what is not there cannot be removed."""
    lived_in.does("secret", "rm", "openai-api-key")
    assert lived_in.does("secret", "list", "--json").out == ""
    assert "no secret named" in lived_in.fails(2, "secret", "rm", "openai-api-key")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"sk-1", b"sk-1", id="no line end"),
        pytest.param(b"sk-1\n", b"sk-1", id="a line end of Unix"),
        pytest.param(b"sk-1\r\n", b"sk-1", id="a line end of Windows"),
        pytest.param(b"caf\xc3\xa9", b"caf\xc3\xa9", id="text that is not ASCII"),
    ],
)
def test_takes_a_value_without_its_line_end(raw: bytes, value: bytes) -> None:
    """echo, printf and editors end a line in different ways."""
    assert parse_value(raw, parse_recipe("bearer")).reveal() == value


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="only a line end"),
        pytest.param(b"sk\n\n", id="two line ends"),
        pytest.param(b"sk\r", id="a lone carriage return"),
        pytest.param(b"sk\r\n\r\n", id="two line ends of Windows"),
        pytest.param(b"a\r\nX-Evil: 1", id="a header smuggled behind"),
        pytest.param(b"a\0b", id="a NUL"),
        pytest.param(b"x" * 20_000, id="far too long"),
    ],
)
def test_refuses_what_would_bend_a_request(raw: bytes) -> None:
    """One line end is forgiven, nothing else."""
    with pytest.raises(ValueError, match="a secret must not"):
        parse_value(raw, parse_recipe("bearer"))


@pytest.mark.parametrize("verb", ["set", "rotate"])
def test_refuses_what_would_mask_innocent_text(lived_in: Terminal, verb: str) -> None:
    """Every answer is scrubbed of a secret: seven bytes may stand in one by chance."""
    before = lived_in.events()
    said = lived_in.fails(2, "secret", verb, "openai-api-key", stdin=b"sk-1234\n")
    assert "openai-api-key: a secret must have 8 bytes or more" in said
    assert lived_in.events() == before
    lived_in.does("secret", verb, "openai-api-key", stdin=b"sk-12345\n")


def test_what_is_not_said_stays(lived_in: Terminal) -> None:
    """A new value moves nothing; a removed agent's binding is not reborn as everyone's."""
    narrow = ("--agent", "research-agent", "--path", "/v1/", "--method", "post")
    lived_in.does("secret", "set", "openai-api-key", *narrow, stdin=b"sk-1-abcd")
    lived_in.does("secret", "set", "openai-api-key", stdin=b"sk-2-abcd")
    (bound,) = lived_in.does("secret", "show", "openai-api-key", "--json").object["bindings"]
    conditions = {"agents": ["research-agent"], "paths": ["/v1"], "methods": ["POST"]}
    assert bound == OPENAI | conditions
    lived_in.does("agent", "rm", "research-agent")
    said = lived_in.fails(2, "secret", "set", "openai-api-key", stdin=b"sk-3-abcd")
    assert "bound to nothing any more" in said


def test_a_clash_names_both_secrets(lived_in: Terminal) -> None:
    """Nothing is stored of a second key for the same calls."""
    second = ("secret", "set", "openai-two", "--provider", "openai")
    said = lived_in.fails(2, *second, stdin=b"sk-2-abcd")
    assert "openai-api-key" in said
    assert "openai-two" in said
    lived_in.does(*second, "--group", "lab", stdin=b"sk-2-abcd")
    assert len(lived_in.does("secret", "providers", "--json").objects) == 24


def test_a_secret_of_several_fields_may_be_a_file_of_many_lines() -> None:
    """A service account's file is stored as it is, on one line; a bearer token never is."""
    raw = b'{\n  "token_uri": "https://a/t",\n  "private_key": "a\\nb"\n}\n'
    kept = parse_value(raw, parse_recipe("jwt_bearer")).reveal()
    assert kept == rb'{"token_uri":"https://a/t","private_key":"a\nb"}'
    with pytest.raises(ValueError, match="line break"):
        parse_value(raw, parse_recipe("bearer"))
