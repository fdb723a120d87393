"""Suggesting: what an agent did is permitted, and nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import Secret
from interlock.apdp import DecisionPoint, load_policies
from interlock.apdp.replay import Recorded, Situation, recall, replay
from interlock.apdp.suggest import suggest
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import (
    Agent,
    Authority,
    Binding,
    Call,
    Declaration,
    Effect,
    Entity,
    Mode,
    Request,
    Stage,
    Trust,
)
from interlock.settings import Settings

HOST = Authority("api.openai.com", 443)
AGENTS = ("a1", "a2")
ACTIONS = ("chat", "embed", "list_models", "http_delete")
NAMES = ("gpt-4o", "gpt-4o-mini", 'a"b\\', "ä\n\x1b]0;x\u202e", "")
SECRETS = ("", "key-1", "key-2")
DEEDS = [
    (agent, action, name, secret)
    for agent in AGENTS
    for action in ACTIONS
    for name in NAMES
    for secret in SECRETS
]
type Deed = tuple[str, str, str, str]


def recorded(
    deed: Deed, *, stage: Stage = Stage.POLICY, refused: bool = False, mode: Mode = Mode.OBSERVE
) -> Recorded:
    """What the ledger would tell of a deed."""
    agent, action, name, secret = deed
    call = Call("openai", action, Entity("Model", name), Request("POST", "https", HOST, "/"), b"")
    who = Agent(agent, trust=Trust.UNVERIFIED)
    situation = Situation(who, call, Declaration(), secret, mode, 1_704_283_200.0)
    return Recorded("dec_1", situation, Effect.DENY, stage, refused)


def allowed(folder: Path, seen: list[Recorded]) -> set[Deed]:
    """Everything there is to do that the suggested policies permit."""
    (folder / "suggested.cedar").write_text("\n".join(policy.text for policy in suggest(seen)))
    point = DecisionPoint(load_policies(folder))
    return {deed for deed in DEEDS if replay(point, recorded(deed)).decision.effect is Effect.ALLOW}


@given(st.sets(st.sampled_from(DEEDS), min_size=1, max_size=4))
def test_replayed_it_permits_exactly_what_was_seen(
    tmp_path_factory: pytest.TempPathFactory, done: set[Deed]
) -> None:
    """Every call with every secret, and no call of another agent, action, resource or secret."""
    folder = tmp_path_factory.mktemp("suggested")
    calls = {deed[:3] for deed in done}
    given_ = {(agent, secret) for agent, _, _, secret in done} | {(a, "") for a in AGENTS}
    permitted = {deed for deed in DEEDS if deed[:3] in calls and (deed[0], deed[3]) in given_}
    assert allowed(folder, [recorded(deed) for deed in done]) == permitted


def test_each_thing_is_one_policy_in_a_fixed_order() -> None:
    """With an id to type, and a description that counts; whatever order the rows came in."""
    seen = [recorded(("a1", "chat", "gpt-4o", "key-1")), recorded(("a1", "chat", "gpt 4o", ""))]
    seen += [recorded(("a1", "chat", "gpt-4o", "key-1")), recorded(("a1", "chat", "gpt/4o", ""))]
    policies = suggest(seen)
    assert policies == suggest(reversed(seen))
    assert [(policy.id, policy.times) for policy in policies] == [
        ("a1-access_secret-key-1", 2),
        ("a1-chat-gpt-4o", 1),
        ("a1-chat-gpt-4o-2", 2),
        ("a1-chat-gpt-4o-3", 1),
    ]
    assert policies[0].text == (
        '@description("a1 was seen to do this; recorded calls: 2.")\n'
        '@id("a1-access_secret-key-1")\n'
        "permit (\n"
        '  principal == Agent::"a1",\n'
        '  action == Action::"access_secret",\n'
        '  resource == Secret::"key-1"\n'
        ")\n"
        'when { (context.host) == "api.openai.com" };\n'
    )


def test_what_did_not_leave_is_not_suggested() -> None:
    """Nor what the intent forbade: no policy could permit it."""
    deed = ("a1", "chat", "gpt-4o", "")
    before = (Stage.TRUST, Stage.INTENT, Stage.GOAL, Stage.DELEGATION)
    seen = [recorded(deed, stage=stage) for stage in before]
    assert suggest([recorded(deed, refused=True), *seen]) == ()


def test_what_a_person_had_to_permit_goes_on_asking(tmp_path: Path) -> None:
    """Once is enough: a suggestion takes no person out of the way."""
    deed = ("a1", "chat", "gpt-4o", "key-1")
    asked = replace(recorded(deed, stage=Stage.APPROVAL), effect=Effect.NEEDS_APPROVAL)
    policies = suggest([recorded(deed), asked])
    assert [policy.asks for policy in policies] == [False, True]
    (tmp_path / "suggested.cedar").write_text("\n".join(policy.text for policy in policies))
    point = DecisionPoint(load_policies(tmp_path))
    assert replay(point, asked).decision.effect is Effect.NEEDS_APPROVAL


OPENAI, MIRROR, PLAIN = HOST, Authority("127.0.0.1", 8443), Authority("a.example", 443)
CHATS = [
    Request("POST", "https", at, "/v1/chat/completions", body, "application/json")
    for at in (OPENAI, MIRROR)
    for body in (b'{"model": "gpt-4o"}', b'{"model": "gpt-5"}', b'{"model": 1, "model": 2}')
]
CALLS = [*CHATS, *(Request(method, "https", PLAIN, "/x") for method in ("GET", "DELETE"))]
SAID = [{}, {"intent_category": "Research"}, {"intent_category": "Fun"}, {"goal": "none"}]
EVENTS = st.tuples(
    st.sampled_from(AGENTS), st.sampled_from(CALLS), st.sampled_from(SAID), st.sampled_from(Mode)
)


@pytest.fixture(scope="module")
def governor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governor]:
    """A front door with a key that is bound to two hosts."""
    home = tmp_path_factory.mktemp("suggest") / "home"
    with Installation(Settings.load(home=home)) as installation:
        bindings = [Binding("k", at, "bearer", service="openai") for at in (OPENAI, MIRROR)]
        installation.set_secret("k", Secret("sk-REAL-1"), bindings)
        yield Governor(installation)


@settings(max_examples=30)
@given(history=st.lists(EVENTS, min_size=1, max_size=6))
def test_of_a_real_history_exactly_what_left_is_permitted(
    governor: Governor, tmp_path_factory: pytest.TempPathFactory, history: list[Any]
) -> None:
    """Of all calls that could be made, at every host, only those that a policy let or would let."""
    rows = [judged(governor, *event) for event in history]
    policies = suggest(rows)
    left = {row.situation for row in rows if not row.refused and row.stage is Stage.POLICY}
    left = {one for one in left if not one.call.doubt}
    assert bool(policies) == bool(left)
    if not policies:
        return
    folder = tmp_path_factory.mktemp("suggested")
    (folder / "s.cedar").write_text("\n".join(policy.text for policy in policies))
    point = DecisionPoint(load_policies(folder))
    keys = {key(one) for one in left}
    for agent in AGENTS:
        for request in CALLS:
            asked = judged(governor, agent, request, {}, Mode.OBSERVE)
            permitted = replay(point, asked).decision.effect is Effect.ALLOW
            wanted = key(asked.situation) in keys and not asked.situation.call.doubt
            assert permitted is wanted


def judged(
    governor: Governor, agent: str, request: Request, said: dict[str, str], mode: Mode
) -> Recorded:
    """Decide one request for real, and read its row again."""
    governor.mode = mode
    who = Agent(agent, trust=Trust.TRUSTED if agent == "a1" else Trust.UNVERIFIED)
    verdict = asyncio.run(governor.govern(request, who, said))
    (row, *_) = governor.installation.ledger.of(verdict.decision.id)
    found = recall(row, who, "")
    assert found
    return found


def key(situation: Situation) -> tuple[str, str, str, str]:
    """What tells one permission from another."""
    call = situation.call
    return situation.agent.name, call.action, str(call.resource), str(call.request.authority)


def test_the_text_is_plain(tmp_path: Path) -> None:
    """An agent's choice of words can neither steer a terminal nor be lost in an encoding."""
    (policy,) = suggest([recorded(("a1", "chat", NAMES[3], ""))])
    assert policy.text.isascii()
    assert policy.text.replace("\n", "").isprintable()
