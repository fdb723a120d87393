"""`interlock session` and `interlock token`."""

import re

from tests.cli.terminal import Terminal


def test_a_session_is_started_listed_and_ended(lived_in: Terminal) -> None:
    """Its token is shown once and kept nowhere."""
    words = ("--agent", "research-agent", "--intent", "sum up", "--ttl", "1h")
    out = lived_in.does("session", "start", *words).out
    token = re.findall(r"^  (ils_[\w-]{43})$", out, re.MULTILINE)[0]
    (listed,) = lived_in.does("session", "list", "--json").objects
    assert (listed["agent"], listed["intent"], listed["state"]) == (
        "research-agent",
        "sum up",
        "open",
    )
    assert lived_in.does("session", "show", listed["id"], "--json").object == listed
    shown = lived_in.does("session", "show", listed["id"]).out
    assert re.search(r"^intent +sum up$", shown, re.MULTILINE)
    assert "no session 'ses_0'" in lived_in.fails(2, "session", "show", "ses_0")
    assert token not in shown
    assert not any(token.encode() in content for content in lived_in.snapshot().values())
    assert lived_in.does("session", "end", listed["id"], "--json").object["state"] == "ended"
    assert lived_in.does("session", "list", "--json").objects == []
    assert "ended" in lived_in.does("session", "list", "--all").out
    assert "no open session" in lived_in.fails(2, "session", "end", listed["id"])


def test_a_chain_that_does_not_hold_starts_nothing(lived_in: Terminal) -> None:
    """It is looked at before the run, not at its first call."""
    words = ("session", "start", "--agent", "research-agent", "--delegation")
    assert "delegation link 1" in lived_in.fails(2, *words, "-", stdin=b"v4.public.x")
    assert "/nowhere: " in lived_in.fails(2, *words, "/nowhere")
    assert lived_in.does("session", "list", "--all", "--json").objects == []


def test_a_token_is_made_rotated_and_ended(terminal: Terminal) -> None:
    """It is shown once; a role is one of ours."""
    made = terminal.does("token", "add", "ops", "--role", "operator", "--json").object
    assert (made["role"], made["token"][:4]) == ("operator", "ila_")
    turned = terminal.does("token", "rotate", "ops", "--ttl", "90d", "--json").object
    assert turned["token"] != made["token"]
    assert turned["expires_at"] > made["created_at"]
    assert "operator" in terminal.does("token", "list").out
    shown = terminal.does("token", "show", "ops", "--json").object
    assert shown == {name: value for name, value in turned.items() if name != "token"}
    assert "operator" in terminal.does("token", "show", "ops").out
    stored = b"".join(terminal.snapshot().values())
    assert made["token"].encode() not in stored
    assert turned["token"].encode() not in stored
    assert "a token named 'ops' already" in terminal.fails(2, "token", "add", "ops")
    assert "--role" in terminal.fails(2, "token", "add", "x", "--role", "king")
    assert terminal.does("token", "rm", "ops", "--json").object["removed"]
    assert "no token named 'ops'" in terminal.fails(2, "token", "rm", "ops")
