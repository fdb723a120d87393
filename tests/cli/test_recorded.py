"""Every change that a person makes is in the ledger: who, what, before and after, no value."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from typer.testing import CliRunner

from interlock.cli import app
from interlock.delegation import format_public_key
from interlock.installation import Installation
from interlock.settings import Settings
from interlock.store.approvals import Approval, ask
from tests.cli.conftest import KEY
from tests.cli.terminal import Terminal
from tests.test_docs import commands

AGENT, SECRET = "research-agent", "openai-api-key"
ISSUER = "https://issuer.example"
URL = "https://example.com/hook?key=of-the-hook"
OTHER_KEY = "sk-OTHER-0123456789abcdef"
PLANTED = "planted-0123456789abcdef"


def changed(terminal: Terminal, *words: str, stdin: bytes = b"") -> Mapping[str, Any]:
    """Type a command and answer the one change that it recorded."""
    before = len(changes(terminal))
    # In this process: what is looked at is the ledger, and a program takes long to start.
    typed = CliRunner().invoke(app, ["--home", str(terminal.home), *words], input=stdin)
    assert typed.exit_code == 0, (words, typed.output)
    (made,) = changes(terminal)[before:]
    return made


def changes(terminal: Terminal) -> list[dict[str, Any]]:
    """All changes so far."""
    with Installation(Settings.load(home=terminal.home)) as installation:
        return [e["body"] for e in installation.ledger.tail(1_000) if e["kind"] == "admin"]


def sides(change: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a change tells what was before, and what is after."""
    return "before" in change, "after" in change


TEMPLATE = """@id("chats") @description("It may use this model.")
permit (principal == ?principal, action in Action::"execute", resource == ?resource);"""
LINK = ("--id", "ann", "--principal", 'Agent::"ann"', "--resource", 'Model::"gpt-4o"')
BEFORE, AFTER, BOTH = (True, False), (False, True), (True, True)

# What is typed, in this order over one home; the action that is recorded, and which sides it tells.
# {session} and such are what an earlier command made.
CHANGES = [
    ("agent add a --owner ada", "agent.add", AFTER),
    ("agent trust a --reason known", "agent.trust", BOTH),
    ("session start --agent a --intent sums", "session.start", AFTER),
    ("session end {session}", "session.end", BOTH),
    ("agent rotate a", "agent.rotate", BOTH),
    ("agent set a --framework CrewAI", "agent.change", BOTH),
    (f"issuer add {ISSUER} --audience interlock", "issuer.add", AFTER),
    (f"identity add agent:a --oidc {ISSUER}#a", "identity.add", AFTER),
    (f"identity rm --oidc {ISSUER}#a", "identity.rm", BEFORE),
    (f"issuer rm {ISSUER}", "issuer.rm", BEFORE),
    ("agent quarantine a --reason odd", "agent.trust", BOTH),
    ("agent revoke a --reason gone", "agent.trust", BOTH),
    ("agent rm a", "agent.rm", BEFORE),
    (f"secret set {SECRET}", "secret.set", BOTH),
    (f"secret rotate {SECRET}", "secret.rotate", BOTH),
    (f"secret rm {SECRET}", "secret.rm", BEFORE),
    ("server add s --url https://mcp.example/mcp", "server.add", AFTER),
    ("server add s --url https://mcp.example/mcp --description more", "server.change", BOTH),
    ("server pin s", "server.pin", BOTH),
    ("server trust s", "server.trust", BOTH),
    ("server quarantine s", "server.trust", BOTH),
    ("server revoke s", "server.trust", BOTH),
    ("server rm s", "server.rm", BEFORE),
    (f"mode set agent {AGENT} enforce", "mode.set", BOTH),
    (f"mode rm agent {AGENT}", "mode.set", BOTH),
    ("goal add g --max-actions 3 --draft", "goal.add", AFTER),
    ("goal activate g", "goal.status", BOTH),
    ("goal extend g --max-actions 5", "goal.extend", BOTH),
    ("goal pause g", "goal.status", BOTH),
    ("goal complete g", "goal.status", BOTH),
    ("goal add h", "goal.add", AFTER),
    ("goal cancel h", "goal.status", BOTH),
    ("approval approve apr_1", "approval.decide", BOTH),
    ("approval deny apr_2", "approval.decide", BOTH),
    ("key rotate sct", "key.rotate", BOTH),
    ("key add user:ada --public -", "key.add", AFTER),
    ("key revoke {key}", "key.revoke", BOTH),
    ("delegation revoke dlg_0123456789abcdef0123", "delegation.revoke", BOTH),
    ("policy link chats", "policy.link", BOTH),
    ("policy unlink ann", "policy.unlink", BOTH),
    ("audit hold --reason case-7", "ledger.hold", BOTH),
    ("audit hold --release", "ledger.hold", BOTH),
    ("honeytoken add wiki --value-from-stdin", "honeytoken.add", BOTH),
    ("honeytoken rm wiki", "honeytoken.rm", BOTH),
    (f"webhook add {URL}", "webhook.add", AFTER),
    (f"webhook rm {URL}", "webhook.rm", BEFORE),
    ("mint add github", "mint.add", BOTH),
    ("mint rm github", "mint.rm", BEFORE),
    ("token add ops --role viewer", "token.add", AFTER),
    ("token rotate ops", "token.rotate", BOTH),
    ("token rm ops", "token.rm", BEFORE),
]
# What changes nothing here, changes it by another way, or is recorded in another way.
UNCHANGING = {
    *("version", "init", "doctor", "env", "run", "serve", "demo", "proxy", "web", "broker serve"),
    *("agent heartbeat", "key new", "delegation grant", "delegation attenuate"),
    *("audit checkpoint", "audit prune", "webhook test", "webhook send", "secret check"),
    *("discover scan", "discover run"),
}
READING = {
    *("list", "show", "check", "test", "diff", "explain", "replay", "suggest", "links", "tail"),
    *("query", "stats", "verify", "export", "providers", "deliveries", "presets", "tokens"),
}


@pytest.fixture
def prepared(lived_in: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A home with two calls that wait for a person, and policies that have a template."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.cedar").write_text(TEMPLATE)
    monkeypatch.setenv("INTERLOCK_POLICIES", str(folder))
    waiting = Approval("apr_1", "dec_1", "a", "chat", "M", "00", time.time(), time.time() + 999)
    with Installation(Settings.load(home=lived_in.home)) as installation:
        for one in (waiting, replace(waiting, id="apr_2")):
            installation.database.write(partial(ask, approval=one))
    return lived_in


def test_every_change_tells_before_and_after(prepared: Terminal) -> None:
    """What is added tells after, what goes tells before, the rest both; the actor; no value."""
    key = format_public_key(SigningKey.generate().verify_key).encode()
    stdin = {"key.add": key, "honeytoken.add": PLANTED.encode()}
    made: dict[str, Mapping[str, Any]] = {}
    told = []
    for line, action, wanted in CHANGES:
        known = {
            "session": made.get("session.start", {}).get("session"),
            "key": made.get("key.add", {}).get("kid"),
        }
        words = line.format(**known).split() + list(LINK if action == "policy.link" else ())
        change = changed(prepared, *words, stdin=stdin.get(action, OTHER_KEY.encode()))
        made[action] = change
        told.append(change)
        assert (change["action"], sides(change)) == (action, wanted), line
        assert change["actor"], line
    said = json.dumps(told)
    assert not any(value in said for value in (KEY, OTHER_KEY, PLANTED, "of-the-hook", "ilk_"))


def test_no_command_is_left_out() -> None:
    """A command that is new has to say here what it records, or that it changes nothing."""
    typed = {path.removeprefix("interlock ") for path, _ in commands()}
    known = {line for line, _, _ in CHANGES} | UNCHANGING
    silent = {one for one in typed if one.split()[-1] not in READING}
    assert {"agent add", "version"} <= silent
    assert {one for one in silent if not any(f"{k} ".startswith(f"{one} ") for k in known)} == set()
