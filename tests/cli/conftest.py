"""Terminals: one at an empty machine, one at a home in which something has happened."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from addons.certificate import create_ca
from broker import Secret
from interlock.governor import Governor, Verdict
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import Agent, Authority, Binding, Request, Trust
from interlock.settings import Settings
from tests.cli.terminal import Terminal

KEY = "sk-REAL-7f3b9c1d5e2a4f60"
OPENAI = Authority("api.openai.com", 443)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A machine on which Interlock has never run."""
    return Terminal(tmp_path / "home")


@pytest.fixture(scope="session")
def _lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("lived-in") / "home"
    settings = Settings.load(home=home)
    with Installation(settings) as installation:
        trusted = Agent("research-agent", owner="ada", groups=("lab",), trust=Trust.TRUSTED)
        stranger = Agent("intern-agent", intent="look\x1b]0;owned\x07around")
        for agent in (trusted, stranger):
            installation.registry.add(agent)
        binding = Binding("openai-api-key", OPENAI, "bearer", service="openai")
        installation.set_secret("openai-api-key", Secret(KEY), [binding])
        governor = Governor(installation)
        allowed = asyncio.run(governor.govern(_chat(), trusted, {"intent": "sum up"}))
        asyncio.run(governor.govern(_chat(), stranger, {}))
        _end(installation, allowed)
    create_ca(settings)
    return home


@pytest.fixture
def lived_in(_lived_in: Path, tmp_path: Path) -> Terminal:
    """A home with two agents, a secret, an allowed and a would-be denied call, of one's own."""
    shutil.copytree(_lived_in, tmp_path / "home")
    return Terminal(tmp_path / "home")


def _chat() -> Request:
    body = b'{"model": "gpt-4o", "messages": []}'
    return Request("POST", "https", OPENAI, "/v1/chat/completions", body, "application/json")


def _end(installation: Installation, verdict: Verdict) -> None:
    body = {"status": 200, "millis": 12.5, "bytes_up": 35, "bytes_down": 99, "redeemed": True}
    body |= {"scrubbed": 1, "dialled": "192.0.2.1:443", "tls": "TLSv1.3", "certificate": "ab12"}
    body["micros"] = {"decide": 200, "end": 12_500, "first_byte": 9_000}
    decision_id = verdict.decision.id
    event = Event(new_id("evt"), time.time(), "outcome", verdict.agent.name, decision_id, body)
    installation.ledger.note(event)
    installation.ledger.flush()
