"""`interlock agent`."""

import re
import time
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


def test_add_prints_the_key_once_with_two_variables(terminal: Terminal) -> None:
    """A newcomer copies two lines and calls."""
    out = terminal.does("agent", "add", "research-agent").out
    key = re.findall(r"^  (ilk_[\w-]{43})$", out, re.MULTILINE)[0]
    assert f"export HTTPS_PROXY=http://research-agent:{key}@127.0.0.1:8080" in out
    assert f"export SSL_CERT_FILE={terminal.home}/ca/interlock-ca.pem" in out


def test_add_as_json(terminal: Terminal) -> None:
    """A program gets all that was registered, and the key."""
    words = ("--owner", "ada", "--group", "lab", "--group", "eu", "--trust", "trusted")
    why = ("--intent", "sum up", "--intent-category", "DataAnalysis", "--goal", "g1")
    what = ("--type", "autonomous", "--framework", "CrewAI", "--label", "team=x")
    line = (*words, *why, *what, "--key-ttl", "90d", "--json")
    added = terminal.does("agent", "add", "a1", *line).object
    assert added.pop("key").startswith("ilk_")
    assert added.pop("expires_at") == pytest.approx(time.time() + 90 * 86400, abs=60)
    assert added.pop("source").startswith("user:")
    assert added.pop("first_seen") == added.pop("last_seen") > 0
    assert added == {
        "name": "a1",
        "owner": "ada",
        "groups": ["lab", "eu"],
        "trust": "trusted",
        "intent": "sum up",
        "intent_category": "DataAnalysis",
        "goal": "g1",
        "lease_s": None,
        "lapses_at": None,
        "type": "autonomous",
        "description": "",
        "framework": "CrewAI",
        "version": "",
        "labels": {"team": "x"},
        "capabilities": {},
        "endpoints": [],
        "signals": [],
        "evidence": {},
        "health": "unknown",
    }


def test_more_is_said_of_an_agent(lived_in: Terminal, tmp_path: Path) -> None:
    """What is not given stays; the page, the list and the ledger tell it."""
    (tmp_path / "offers.json").write_text('{"tools": [{"name": "search"}]}')
    more = ("--capabilities", str(tmp_path / "offers.json"), "--label", "team=x", "--json")
    name = "research-agent"
    changed = lived_in.does("agent", "set", name, "--framework", "CrewAI", *more).object["changed"]
    assert sorted(changed) == ["capabilities", "framework", "labels"]
    lived_in.does("agent", "set", name, "--version", "2")
    shown = lived_in.does("agent", "show", name).out
    assert all(word in shown for word in ("CrewAI", "search", "team", "2"))
    assert "CrewAI" in lived_in.does("agent", "list").out
    assert "is not KEY=VALUE" in lived_in.fails(2, "agent", "set", name, "--label", "x")
    assert "no agent named" in lived_in.fails(2, "agent", "set", "nobody", "--version", "1")


def test_a_key_is_kept_nowhere(terminal: Terminal) -> None:
    """Neither the database nor its log nor any other file holds the key."""
    key = terminal.does("agent", "add", "a1", "--json").object["key"]
    assert terminal.snapshot()
    assert not any(key.encode() in content for content in terminal.snapshot().values())
    shown = terminal.does("agent", "show", "a1").out + terminal.does("audit", "tail").out
    assert key not in shown


def test_a_key_of_an_agent_that_exists_is_not_touched(lived_in: Terminal) -> None:
    """A name is registered once."""
    before = lived_in.events()
    assert "registered already" in lived_in.fails(2, "agent", "add", "research-agent")
    assert lived_in.events() == before


def test_rotate_replaces_the_key(lived_in: Terminal) -> None:
    """The new key proves the agent, the old one does not."""
    old = lived_in.does("agent", "rotate", "research-agent", "--json").object["key"]
    new = lived_in.does("agent", "rotate", "research-agent", "--key-ttl", "1h", "--json").object
    env = ("env", "--agent", "research-agent")
    assert lived_in.does(*env, INTERLOCK_AGENT_KEY=new["key"]).code == 0
    assert "not valid" in lived_in.fails(2, *env, INTERLOCK_AGENT_KEY=old)


def test_trust_moves_with_a_reason(lived_in: Terminal) -> None:
    """Each move is recorded; a revoked agent stays revoked."""
    for verb, state in (("trust", "trusted"), ("quarantine", "quarantined"), ("revoke", "revoked")):
        moved = lived_in.does("agent", verb, "intern-agent", "--reason", "because", "--json")
        assert moved.object == {"name": "intern-agent", "trust": state}
    assert "cannot become trusted" in lived_in.fails(2, "agent", "trust", "intern-agent")
    last = lived_in.does("audit", "tail", "-n", "1", "--json").object
    assert last["body"]["after"] == "revoked"
    assert last["body"]["reason"] == "because"


def test_rm_forgets_the_agent(lived_in: Terminal) -> None:
    """It is gone from the list, its calls stay in the ledger."""
    lived_in.does("agent", "rm", "intern-agent")
    assert [a["name"] for a in lived_in.does("agent", "list", "--json").objects] == [
        "research-agent"
    ]
    assert lived_in.does("audit", "query", "--agent", "intern-agent", "--json").objects


def test_what_an_agent_said_does_not_reach_the_terminal(lived_in: Terminal) -> None:
    """An escape sequence in a registration is shown, not obeyed."""
    for words in (("list",), ("show", "intern-agent"), ("list", "--json")):
        out = lived_in.does("agent", *words).out
        assert "owned" in out
        assert out.replace("\n", "").isprintable()


def test_a_lease_is_shown_and_renewed(terminal: Terminal) -> None:
    """`add --lease`, `show`, `list` and `heartbeat` name the second at which the agent lapses."""
    added = terminal.does("agent", "add", "a1", "--lease", "90s", "--json").object
    assert added["lease_s"] == 90
    renewed = terminal.does("agent", "heartbeat", "a1", "--json").object
    shown = terminal.does("agent", "show", "a1", "--json").object
    assert added["lapses_at"] < renewed["lapses_at"] == shown["lapses_at"]
    assert "LAPSES" in terminal.does("agent", "list").out
    assert "good until" in terminal.does("agent", "heartbeat", "a1").out
    terminal.does("agent", "add", "a2")
    assert "has no lease" in terminal.fails(2, "agent", "heartbeat", "a2")
