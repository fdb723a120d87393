"""Replaying: a row becomes the values that were decided, and other policies decide them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker import Secret
from interlock.apdp import DecisionPoint, PolicyFolder
from interlock.apdp.policies import shipped
from interlock.apdp.replay import Recorded, recall, replay
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import (
    Agent,
    Authority,
    Binding,
    Effect,
    Entity,
    Mode,
    Request,
    Stage,
    Trust,
)
from interlock.settings import Settings

OPENAI = Authority("api.openai.com", 443)
AGENT = Agent("research-agent", owner="ada", groups=("lab",), trust=Trust.TRUSTED)
CHAT = Request(
    "POST",
    "https",
    OPENAI,
    "/v1/chat/completions?x=1",
    b'{"model": "gpt-4o", "messages": []}',
    "application/json",
    source_ip="192.0.2.7",
)
FORBIDDEN = 'forbid (principal, action == Action::"chat", resource);'


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[Governor]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        installation.registry.add(AGENT)
        binding = Binding("openai-api-key", OPENAI, "bearer", service="openai")
        installation.set_secret("openai-api-key", Secret("sk-REAL-1"), [binding])
        yield Governor(installation)


def govern(governor: Governor, request: Request = CHAT, agent: Agent = AGENT, **said: str) -> Any:
    """Decide one request for real, and answer its row of the ledger."""
    verdict = asyncio.run(governor.govern(request, agent, said))
    (event, *_) = governor.installation.ledger.of(verdict.decision.id)
    return event


def point_of(folder: Path) -> DecisionPoint:
    """The decision point of a folder."""
    loaded = PolicyFolder(folder)
    return DecisionPoint(loaded.current, loaded.intents)


def recalled(governor: Governor, **said: str) -> Recorded:
    """A recorded call that can be repeated."""
    recorded = recall(govern(governor, **said), AGENT, "openai-api-key")
    assert recorded
    return recorded


def test_a_row_becomes_what_was_decided(governor: Governor) -> None:
    """Who, what, why, how and when; the body only by its size."""
    said = {"intent": "sum up", "intent_category": "Research"}
    recorded = recalled(governor, **said)
    situation = recorded.situation
    call, request = situation.call, situation.call.request
    assert situation.agent == AGENT
    assert (call.service, call.action, call.model) == ("openai", "chat", "gpt-4o")
    assert call.resource == Entity("Model", "gpt-4o")
    assert (request.authority, request.method) == (OPENAI, "POST")
    assert (request.path, request.source_ip) == ("/v1/chat/completions", "192.0.2.7")
    assert len(request.body) == len(CHAT.body)
    assert (situation.declared.intent, situation.declared.intent_category) == tuple(said.values())
    assert (situation.mode, recorded.refused) == (Mode.OBSERVE, False)
    assert (recorded.effect, recorded.stage) == (Effect.ALLOW, Stage.POLICY)


def test_the_same_policies_change_nothing(governor: Governor) -> None:
    """Allowed stays allowed, denied denied, at the intent stage too."""
    point = point_of(shipped())
    stranger = Agent("stranger")
    governor.installation.registry.add(stranger)
    rows = [
        (AGENT, govern(governor)),
        (AGENT, govern(governor, intent_category="Nonsense")),
        (stranger, govern(governor, agent=stranger)),
    ]
    for agent, row in rows:
        recorded = recall(row, agent, "openai-api-key")
        assert recorded
        replayed = replay(point, recorded)
        assert not replayed.changed
        assert replayed.decision.stage is recorded.stage
        assert [r.policy_id for r in replayed.decision.reasons] == [
            policy_id for policy_id, _ in row["body"]["reasons"]
        ]


@pytest.mark.parametrize(
    ("policies", "changed"),
    [
        pytest.param("permit (principal, action, resource);", False, id="all is permitted"),
        pytest.param(
            f"permit (principal, action, resource); {FORBIDDEN}", True, id="chatting is forbidden"
        ),
        pytest.param(
            'permit (principal, action == Action::"chat", resource);', True, id="but no secret"
        ),
        pytest.param(
            'permit (principal is Agent in Group::"lab", action, resource) when {'
            'principal.owner == "ada" && context.host == "api.openai.com" &&'
            "context.body_bytes == 35 && context.intent_matches };",
            False,
            id="for what the registry and the row say",
        ),
        pytest.param(
            '@effect("require_approval") permit (principal, action, resource);',
            True,
            id="a person is asked",
        ),
    ],
)
def test_other_policies_decide(
    governor: Governor, tmp_path: Path, policies: str, changed: bool
) -> None:
    """With the whole call before them, and the secret that it was given."""
    (tmp_path / "other.cedar").write_text(policies)
    replayed = replay(point_of(tmp_path), recalled(governor, intent_category="Research"))
    assert replayed.changed is changed


def test_what_a_person_answered_is_not_what_the_policies_said(governor: Governor) -> None:
    """A call that was approved needed an approval, and left."""
    row = govern(governor)
    approved = row | {"body": row["body"] | {"stage": "approval", "enforced": True}}
    recorded = recall(approved, AGENT, "")
    assert recorded
    assert (recorded.effect, recorded.refused) == (Effect.NEEDS_APPROVAL, False)


def untold(row: Any) -> Any:
    """The same row as an older version wrote it."""
    return row | {"body": {name: value for name, value in row["body"].items() if name != "facts"}}


def test_what_rests_on_more_than_an_older_row_is_not_repeated(governor: Governor) -> None:
    """Trust, goals and delegation of that moment, a body in doubt, and rows that make no sense."""
    cut_off = Agent("gone", trust=Trust.QUARANTINED)
    doubtful = Request("POST", "https", OPENAI, CHAT.path, b'{"model":1,"model":2}', "text/json")
    rows = [
        untold(govern(governor, agent=cut_off)),
        untold(govern(governor, goal="no-such-goal")),
        untold(govern(governor, delegation="no chain")),
        untold(govern(governor, doubtful)),
        govern(governor) | {"body": govern(governor)["body"] | {"facts": {"actors": ["nobody"]}}},
        {"body": {}, "ts": 0.0, "decision_id": "dec_1"},
        {"body": {"stage": "policy", "reasons": None}},
    ]
    assert [recall(row, AGENT, "") for row in rows] == [None] * len(rows)
