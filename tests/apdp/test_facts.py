"""Facts: a row holds what its decision was told, and decided again it is told the same."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from broker import Secret
from interlock.apdp import DecisionPoint, PolicyFolder, entities
from interlock.apdp.facts import MOST_CHARACTERS
from interlock.apdp.replay import recall, replay
from interlock.apdp.told import context_of
from interlock.calls.usage import Usage, UsageReader
from interlock.delegation import Scope, attenuate, grant
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Entity, Mode, Request, Trust
from interlock.settings import Settings
from interlock.store.goals import Goal, Status

OPENAI = Authority("api.openai.com", 443)
AGENT = Agent("research-agent", owner="ada", groups=("lab", "night"), trust=Trust.TRUSTED)
OTHER = Agent("planner")
GONE = Agent("gone", trust=Trust.QUARANTINED)
ADA, KEY, PLANNER_KEY = Entity("User", "ada"), SigningKey(b"u" * 32), SigningKey(b"p" * 32)
CONTEXT_READERS = """
permit (principal is Agent in Group::"lab", action, resource) when {
  principal.owner == "ada" && context.stream && context.tools.contains("look") &&
  context.max_tokens == 77 && context.goal_actions_left < 5 };
permit (principal, action, resource) when { context.delegation_depth == 2 };
@effect("require_approval")
permit (principal, action == Action::"access_secret", resource) when { context.hour < 12 };
permit (principal, action, resource) when { context.intent_category == "Research" };
forbid (principal, action, resource) when { context.actor_chain.contains("Agent::\\"nobody\\"") };
"""


def chat(**body: Any) -> Request:
    """A chat with whatever else it asks for."""
    text = json.dumps({"model": "gpt-4o", "messages": [{"content": "PROMPT"}]} | body).encode()
    path = "/v1/chat/completions?key=QUERY"
    return Request("POST", "https", OPENAI, path, text, "application/json", source_ip="192.0.2.7")


def chains() -> dict[str, str]:
    """One that holds, one of two links, one that is too narrow, and one that is none."""
    now = float(int(time.time()))
    scope = Scope(("*",), ("*",), ("*",), ("*",), now - 60, now + 600, 8)
    narrow = replace(scope, actions=("read",))
    me, planner = Entity("Agent", AGENT.name), Entity("Agent", OTHER.name)
    longer = replace(scope, actions=("execute",), depth=7)
    return {
        "direct": grant(KEY, ADA, me, scope, now),
        "over the planner": attenuate(
            grant(KEY, ADA, planner, scope, now), PLANNER_KEY, me, longer, now
        ),
        "narrow": grant(KEY, ADA, me, narrow, now),
        "broken": "no chain",
    }


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[Governor]:
    """A front door that knows goals of every kind, keys of delegation, and a secret."""
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        for agent in (AGENT, OTHER, GONE):
            installation.registry.add(agent)
        installation.goals.add(Goal("open"))
        installation.goals.add(Goal("limited", max_actions=3))
        installation.goals.add(Goal("spent", max_actions=1))
        installation.goals.add(Goal("foreign", agents=frozenset({"somebody"})))
        installation.goals.add(Goal("paused"))
        installation.goals.set_status("paused", Status.PAUSED)
        installation.delegations.add_key(ADA, KEY.verify_key)
        installation.delegations.add_key(Entity("Agent", OTHER.name), PLANNER_KEY.verify_key)
        binding = Binding("openai-api-key", OPENAI, "bearer", service="openai")
        installation.set_secret("openai-api-key", Secret("sk-REAL-1"), [binding])
        yield Governor(installation)


def happen(governor: Governor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls for every reason and none, at several hours, in both modes."""
    tools = [{"type": "function", "function": {"name": "look", "description": "ARGUMENT"}}]
    rich = chat(stream=True, tools=tools, max_tokens=77)
    said: list[dict[str, str]] = [{}, {"intent_category": "Research"}, {"intent_category": "Fun"}]
    said += [
        {"goal": goal} for goal in ("open", "limited", "spent", "spent", "foreign", "paused", "no")
    ]
    said += [{"delegation": chain} for chain in chains().values()]
    said += [{"delegation": "broken", "intent_category": "Fun", "goal": "paused"}]
    strange = replace(chat(), body=b'{"model":1,"model":2}')
    asked = [(rich, AGENT, one) for one in said]
    asked += [(request, AGENT, {}) for request in (chat(), strange)]
    asked += [(chat(), who, {"goal": "open"}) for who in (OTHER, GONE)]
    morning = time.time() // 86400 * 86400
    for hour, mode in ((9, Mode.OBSERVE), (15, Mode.ENFORCE)):
        governor.change_mode(mode)
        for request, agent, one in asked:
            if "delegation" not in one:
                monkeypatch.setattr(
                    "interlock.governor.time.time", lambda h=hour: morning + h * 3600
                )
            asyncio.run(governor.govern(request, agent, one))
            monkeypatch.undo()


@pytest.fixture(params=["shipped", "of one's own"])
def policies(request: pytest.FixtureRequest, governor: Governor, tmp_path: Path) -> PolicyFolder:
    """The set that decides, and decides again."""
    if request.param == "shipped":
        return governor.policies
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.cedar").write_text(CONTEXT_READERS)
    return PolicyFolder(folder)


def test_the_same_policies_are_told_the_same(
    governor: Governor, policies: PolicyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Context, entities, effect, stage and reasons: whatever the call was and how it ended."""
    told: dict[str, list[Any]] = {}
    judge = DecisionPoint.decide

    def listening(self: DecisionPoint, *rest: Any, **more: Any) -> Any:
        decision = judge(self, *rest, **more)
        _, agent, call, declared = rest or [more[n] for n in ("id_", "agent", "call", "declared")]
        context = context_of(agent, call, declared, more["mode"], more["now"], decision.told)
        shown = entities.entities_of_call(agent, call, more["secret"])
        told.setdefault(decision.id, []).append((context, shown, decision.stage, decision.reasons))
        return decision

    monkeypatch.setattr(DecisionPoint, "decide", listening)
    governor._adopt(policies.current, policies.intents)
    with monkeypatch.context() as clock:
        happen(governor, clock)
    point = DecisionPoint(policies.current, policies.intents)
    rows = list(governor.installation.ledger.query())
    for row in rows:
        recorded = recall(row, Agent("made up"), "made-up")
        assert recorded is not None
        assert not recorded.approximate
        assert not replay(point, recorded).changed
        first, again = told[recorded.id]
        assert again == first
    assert {row["body"]["stage"] for row in rows} >= {"trust", "intent", "goal", "delegation"}
    assert len(rows) == len(told) == 38


def test_a_row_tells_nothing_that_is_secret(
    governor: Governor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No prompt, argument, query string, key, or token of delegation."""
    happen(governor, monkeypatch)
    rows = json.dumps(list(governor.installation.ledger.query()))
    for word in ("PROMPT", "ARGUMENT", "QUERY", "sk-REAL", "v4.public.ey"):
        assert word not in rows


def test_a_row_does_not_grow_with_the_names_of_tools(governor: Governor) -> None:
    """Their number is kept, and the replay is approximate."""
    names = [f"{n:0200}" for n in range(MOST_CHARACTERS // 200 + 1)]
    request = chat(tools=[{"type": "function", "name": name} for name in names])
    verdict = asyncio.run(governor.govern(request, AGENT, {}))
    (row, *_) = governor.installation.ledger.of(verdict.decision.id)
    assert row["body"]["facts"]["tools_left_out"] == len(names)
    assert len(json.dumps(row["body"])) < 3000
    recorded = recall(row, AGENT, "")
    assert recorded
    assert recorded.approximate


def test_a_row_without_facts_is_replayed_approximately(governor: Governor) -> None:
    """As older versions wrote it: by the agent of now, and the secret that it was given."""
    verdict = asyncio.run(governor.govern(chat(), AGENT, {}))
    (row, *_) = governor.installation.ledger.of(verdict.decision.id)
    old = row | {"body": {k: v for k, v in row["body"].items() if k != "facts"}}
    recorded = recall(old, replace(AGENT, owner="bob"), "a-key")
    assert recorded
    assert recorded.approximate
    assert (recorded.situation.agent.owner, recorded.situation.secret) == ("bob", "a-key")
    trusted = {"stage": "goal", "goal": "g"}
    assert recall(old | {"body": old["body"] | trusted}, AGENT, "") is None


def test_an_estimate_counts_against_the_goal(governor: Governor) -> None:
    """A stream that leaves its usage out exhausts a limit of tokens all the same."""
    governor.installation.goals.add(Goal("small", max_tokens=10))
    verdict = asyncio.run(governor.govern(chat(stream=True), AGENT, {"goal": "small"}))
    reader = UsageReader("openai", "gpt-4o", 400)
    reader.feed(b'data: {"choices": [{"delta": {"content": "' + b"x" * 400 + b'"}}]}\n')
    usage = reader.usage()
    assert usage == Usage("gpt-4o", 100, 100, pytest.approx(0.00125), estimated=True)
    governor.close(verdict, {}, usage)
    governor.installation.database.write(lambda _: None)  # behind what was queued
    goal = governor.installation.goals.get("small")
    assert goal
    assert (goal.used_tokens, goal.state(time.time())) == (200, Status.EXHAUSTED)
    (*_, event) = governor.installation.ledger.of(verdict.decision.id)
    assert (event["kind"], event["body"]["estimated"]) == ("outcome", True)
