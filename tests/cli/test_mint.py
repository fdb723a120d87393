"""`interlock mint`: routes are declared in one line, and never in a way that leads astray."""

import pytest

from tests.cli.terminal import Terminal


def test_a_route_known_by_name_needs_no_option(terminal: Terminal) -> None:
    """It is declared, listed, and gone."""
    made = terminal.does("mint", "add", "github", "--json").object
    assert made["path"] == "/app/installations/*/access_tokens"
    assert made["fields"] == ["token"]
    assert terminal.does("mint", "list", "--json").objects == [made]
    assert terminal.does("mint", "tokens", "--json").objects == []
    removed = terminal.does("mint", "rm", "github", "--json").object
    assert removed == {"name": "github", "removed": True, "tokens": 0}
    assert terminal.does("mint", "list", "--json").objects == []


def test_what_is_said_comes_before_the_preset(terminal: Terminal) -> None:
    """A GitHub of one's own, and a service that nobody knows."""
    words = ["--host", "ghe.example.com", "--to", "ghe.example.com", "--json"]
    assert terminal.does("mint", "add", "github", *words).object["host"] == "ghe.example.com:443"
    words = ["--host", "a.example.com", "--path", "/t", "--field", "key", "--header", "X-Key"]
    made = terminal.does("mint", "add", "mine", *words, "--json").object
    assert made == {
        "name": "mine",
        "host": "a.example.com:443",
        "method": "POST",
        "path": "/t",
        "fields": ["key"],
        "to": ["a.example.com:443"],
        "headers": ["x-key"],
    }
    assert "POST a.example.com/t" in terminal.does("mint", "add", "mine", *words).out
    assert "mine" in terminal.does("mint", "list").out
    assert "linear" in terminal.does("mint", "presets").out
    assert "removed" in terminal.does("mint", "rm", "mine").out
    assert "TOKEN" in terminal.does("mint", "tokens").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["unknown"], "--host and --path", id="no host"),
        pytest.param(["Big", "--host", "a.example.com", "--path", "/t"], "'Big'", id="a name"),
        pytest.param(["github", "--host", "*.example.com"], "one host", id="a pattern of hosts"),
        pytest.param(["github", "--to", "*.com"], "--to", id="everybody"),
        pytest.param(["github", "--path", "t"], "--path", id="no path"),
        pytest.param(["github", "--field", "a b"], "'a b'", id="no field"),
        pytest.param(["github", "--field", ""], "'' is not the name", id="a field without a name"),
        pytest.param(["github", "--header", "a b"], "'a b'", id="no header"),
        pytest.param(["github", "--header", ""], "'' is not the name", id="a nameless header"),
    ],
)
def test_bad_input_is_one_line(terminal: Terminal, words: list[str], told: str) -> None:
    """Exit 2, and nothing is declared."""
    assert told in terminal.fails(2, "mint", "add", *words)


def test_there_is_nothing_to_remove(lived_in: Terminal) -> None:
    """It says so."""
    assert "no route named 'x'" in lived_in.fails(2, "mint", "rm", "x")
