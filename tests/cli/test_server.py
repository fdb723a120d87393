"""`interlock server`."""

import json

import pytest

from tests.cli.terminal import Terminal

URL = "https://MCP.example.com:443/files/"


def test_a_server_is_added_shown_listed_and_removed(terminal: Terminal) -> None:
    """With what it offers, from a file."""
    file = terminal.home.parent / "capabilities.json"
    file.write_text(json.dumps({"tools": [{"name": "read_file"}]}))
    words = ("--url", URL, "--label", "team=lab", "--group", "lab", "--lease", "90s")
    added = terminal.does("server", "add", "files", *words, "--capabilities", str(file), "--json")
    assert added.object["url"] == "https://mcp.example.com/files"
    assert added.object["labels"] == {"team": "lab"}
    assert added.object["lease_s"] == 90
    assert added.object["changed"] == ["new"]
    again = terminal.does("server", "add", "files", *words).out
    assert "changed: capabilities" in again
    shown = terminal.does("server", "show", added.object["id"], "--json").object
    assert shown["name"] == "files"
    assert "lab" in terminal.does("server", "show", "files").out
    assert "unverified" in terminal.does("server", "list").out
    assert terminal.does("server", "rm", "files", "--json").object["removed"]
    assert terminal.does("server", "list", "--json").objects == []


def test_trust_moves_with_a_reason(terminal: Terminal) -> None:
    """Each move is recorded; a revoked server stays revoked."""
    terminal.does("server", "add", "local", "--command", "npx", "--arg", "files")
    for verb, state in (("trust", "trusted"), ("quarantine", "quarantined"), ("revoke", "revoked")):
        moved = terminal.does("server", verb, "local", "--reason", "because", "--json")
        assert moved.object == {"name": "local", "trust": state}
    assert "cannot become trusted" in terminal.fails(2, "server", "trust", "local")
    assert terminal.does("audit", "tail", "-n", "1", "--json").object["body"]["reason"] == "because"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param((), "give --url", id="nowhere"),
        pytest.param(("--url", "ftp://x"), "is not like https://", id="another scheme"),
        pytest.param(("--url", "https://u:p@x"), "without user", id="a password in the URL"),
        pytest.param(("--url", "https://x/a/../b"), "ambiguous_path", id="a path of two readings"),
        pytest.param(("--url", "https://x/?key=1"), "without user, query", id="a query"),
        pytest.param(("--url", "https://x", "--label", "y"), "KEY=VALUE", id="half a label"),
        pytest.param(
            ("--url", "https://x", "--capabilities", "/nowhere"), "/nowhere: ", id="no such file"
        ),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    terminal: Terminal, words: tuple[str, ...], said: str
) -> None:
    """It names the option."""
    assert said in terminal.fails(2, "server", "add", "files", *words)
    assert not terminal.home.exists()
