"""`interlock policy link`, `unlink` and `links`."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

TEMPLATE = """@id("chats") @description("It may use this model.")
permit (principal == ?principal, action in Action::"execute", resource == ?resource);"""
ANN = ("--id", "ann", "--principal", 'Agent::"ann"', "--resource", 'Model::"gpt-4o"')


@pytest.fixture
def linking(tmp_path: Path) -> Terminal:
    """A home, and a folder of policies in force with one template."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.cedar").write_text(TEMPLATE)
    terminal = Terminal(tmp_path / "home", {"INTERLOCK_POLICIES": str(folder)})
    terminal.does("init")
    return terminal


def text(terminal: Terminal) -> str | None:
    """What links.toml says; None when it is not there."""
    path = Path(terminal.environ["INTERLOCK_POLICIES"]) / "links.toml"
    return path.read_text() if path.exists() else None


def test_a_grant_is_made_listed_and_taken_back(linking: Terminal) -> None:
    """Each change is an event with what was before and after."""
    made = linking.does("policy", "link", "chats", *ANN, "--expires", "8h", "--json").object
    assert linking.does("policy", "links", "--json").objects == [made]
    assert "chats" in linking.does("policy", "links").out
    ids = [p["id"] for p in linking.does("policy", "check", "--json").object["policies"]]
    assert ids == ["ann"]
    linking.does("policy", "unlink", "ann")
    assert linking.does("policy", "links", "--json").objects == []
    with sqlite3.connect(linking.home / "interlock.db") as connection:
        rows = connection.execute("select body from admin_actions order by seq").fetchall()
    connection.close()
    link, unlink = [json.loads(row[0]) for row in rows][-2:]
    assert (link["action"], link["before"], link["after"]) == ("policy.link", None, made)
    assert (unlink["action"], unlink["before"], unlink["after"]) == ("policy.unlink", made, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("link", "chats", *ANN), "--id: there is a link 'ann' already", id="twice"),
        pytest.param(("link", "talks", "--id", "b"), "none with @id 'talks'", id="no template"),
        pytest.param(("link", "chats", "--id", "b"), "has a slot for it", id="a slot left out"),
        pytest.param(("link", "chats", "--id", "b c"), "id: use letters", id="a bad id"),
        pytest.param(("unlink", "b"), "there is no link 'b'", id="unlinking nothing"),
    ],
)
def test_what_does_not_load_changes_nothing(
    linking: Terminal, words: tuple[str, ...], said: str
) -> None:
    """Neither the file nor the ledger, and nothing is left beside the file."""
    linking.does("policy", "link", "chats", *ANN)
    before, events = text(linking), linking.events()
    assert said in linking.fails(2, "policy", *words)
    assert (text(linking), linking.events()) == (before, events)
    folder = Path(linking.environ["INTERLOCK_POLICIES"])
    assert sorted(path.name for path in folder.iterdir()) == ["a.cedar", "links.toml"]


def test_the_shipped_policies_are_not_edited(terminal: Terminal) -> None:
    """An upgrade would take the grants away; the line says what to do."""
    terminal.does("init")
    assert "copy them to a folder of your own" in terminal.fails(2, "policy", "link", "x", *ANN)
    assert terminal.does("policy", "links", "--json").out == ""


def test_what_cannot_be_recorded_is_not_done(linking: Terminal) -> None:
    """Without a ledger row there is no grant."""
    linking.tamper("create trigger no before insert on events begin select raise(abort, 'no'); end")
    linking.fails(2, "policy", "link", "chats", *ANN)
    assert text(linking) is None
