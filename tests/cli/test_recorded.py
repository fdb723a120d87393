"""Every change that a person makes is in the ledger: who, what, before and after, no value."""

import json
from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner

from interlock.cli import app
from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.conftest import KEY
from tests.cli.terminal import Terminal

AGENT, SECRET = "research-agent", "openai-api-key"
URL = "https://example.com/hook?key=of-the-hook"
OTHER_KEY = "sk-OTHER-0123456789abcdef"


def changed(terminal: Terminal, *words: str, stdin: bytes = b"") -> Mapping[str, Any]:
    """Type a command and answer the one change that it recorded."""
    before = len(changes(terminal))
    # In this process: what is looked at is the ledger, and a program takes long to start.
    typed = CliRunner().invoke(app, ["--home", str(terminal.home), *words], input=stdin)
    assert typed.exit_code == 0, typed.output
    (made,) = changes(terminal)[before:]
    return made


def changes(terminal: Terminal) -> list[dict[str, Any]]:
    """All changes so far."""
    with Installation(Settings.load(home=terminal.home)) as installation:
        return [e["body"] for e in installation.ledger.tail(1_000) if e["kind"] == "admin"]


def sides(change: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a change tells what was before, and what is after."""
    return "before" in change, "after" in change


def test_what_is_added_tells_after_what_goes_tells_before(lived_in: Terminal) -> None:
    """And what changes tells both; the actor is whoever typed the command."""
    told = {
        "agent.add": changed(lived_in, "agent", "add", "a", "--owner", "ada"),
        "agent.trust": changed(lived_in, "agent", "trust", "a", "--reason", "known"),
        "agent.rotate": changed(lived_in, "agent", "rotate", "a"),
        "agent.rm": changed(lived_in, "agent", "rm", "a"),
        "secret.set": changed(lived_in, "secret", "set", SECRET, stdin=OTHER_KEY.encode()),
        "secret.rm": changed(lived_in, "secret", "rm", SECRET),
        "goal.add": changed(lived_in, "goal", "add", "g", "--max-actions", "3"),
        "goal.extend": changed(lived_in, "goal", "extend", "g", "--max-actions", "5"),
        "goal.status": changed(lived_in, "goal", "pause", "g"),
        "mode.set": changed(lived_in, "mode", "set", "agent", AGENT, "enforce"),
        "webhook.add": changed(lived_in, "webhook", "add", URL),
        "webhook.rm": changed(lived_in, "webhook", "rm", URL),
    }
    assert {name: change["action"] for name, change in told.items()} == {n: n for n in told}
    assert {name: sides(change) for name, change in told.items()} == {
        "agent.add": (False, True),
        "agent.trust": (True, True),
        "agent.rotate": (False, True),
        "agent.rm": (True, False),
        "secret.set": (True, True),
        "secret.rm": (True, False),
        "goal.add": (False, True),
        "goal.extend": (True, True),
        "goal.status": (True, True),
        "mode.set": (True, True),
        "webhook.add": (False, True),
        "webhook.rm": (True, False),
    }
    assert all(change["actor"] for change in told.values())
    said = json.dumps(told)
    assert not any(value in said for value in (KEY, OTHER_KEY, "of-the-hook", "ilk_"))
