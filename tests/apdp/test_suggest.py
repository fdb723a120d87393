"""Suggesting: what an agent did is permitted, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.apdp import DecisionPoint, load_policies
from interlock.apdp.replay import Recorded, Situation, replay
from interlock.apdp.suggest import suggest
from interlock.model import (
    Agent,
    Authority,
    Call,
    Declaration,
    Effect,
    Entity,
    Mode,
    Request,
    Stage,
    Trust,
)

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
        ");\n"
    )


def test_what_did_not_leave_is_not_suggested() -> None:
    """Nor what the intent forbade: no policy could permit it."""
    deed = ("a1", "chat", "gpt-4o", "")
    assert suggest([recorded(deed, refused=True), recorded(deed, stage=Stage.INTENT)]) == ()


def test_the_text_is_plain(tmp_path: Path) -> None:
    """An agent's choice of words can neither steer a terminal nor be lost in an encoding."""
    (policy,) = suggest([recorded(("a1", "chat", NAMES[3], ""))])
    assert policy.text.isascii()
    assert policy.text.replace("\n", "").isprintable()
