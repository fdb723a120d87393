"""A question in the form of `POST /authorize`: read strictly, answered by the same policies."""

from pathlib import Path
from typing import Any

import pytest

from interlock.apdp import load_intents, load_policies
from interlock.apdp.authorize import QuestionError, Ruling, authorize, read_question
from interlock.apdp.policies import shipped
from interlock.model import Agent, Effect, Mode, Trust

NOON = 1_704_283_200.0
ASKED = {"principal": 'Agent::"a1"', "action": 'Action::"chat"', "resource": 'Model::"gpt-4o"'}
AGENT = Agent("a1", trust=Trust.TRUSTED, groups=("lab",))


def ask(body: dict[str, Any], folder: Path | None = None, agent: Agent | None = AGENT) -> Ruling:
    """Put a question to a folder of policies, or to the shipped one."""
    policies = load_policies(folder or shipped())
    intents = load_intents(shipped(), policies.action_names)
    asked = read_question(body)
    known = agent if asked.principal.type == "Agent" else None
    return authorize(asked, policies, intents, known, mode=Mode.ENFORCE, now=NOON)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ASKED, id="as Cedar writes it"),
        pytest.param(ASKED | {"action": "chat"}, id="a bare action"),
        pytest.param(ASKED | {"principal": {"type": "Agent", "id": "a1"}}, id="type and id"),
        pytest.param(ASKED | {"context": None}, id="a context that is null"),
        pytest.param(ASKED | {"context": {"max_tokens": 2**63 - 1}}, id="the largest number"),
    ],
)
def test_every_form_of_a_question_gets_the_same_answer(body: dict[str, Any]) -> None:
    """In the words of the reference documentation."""
    answer = ask(body).as_json()
    assert answer["decision"] == "allow"
    assert [reason["policy_id"] for reason in answer["reasons"]] == ["trusted-agents-use-models"]
    assert answer["diagnostics"]["policies_applicable"] == 1
    assert answer["diagnostics"]["policies_evaluated"] >= 1
    assert answer["diagnostics"]["evaluation_time_ms"] >= 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"principal": "a1"}, "principal: ", id="a principal without a type"),
        pytest.param({"principal": 'Model::"m"'}, "principal: ", id="a model that asks"),
        pytest.param({"principal": 'Agent::"a1" '}, "principal: ", id="a blank behind"),
        pytest.param({"resource": 'Model::"\ud800"'}, "resource: ", id="half a character"),
        pytest.param({"resource": {"type": "Model"}}, "resource: ", id="no id"),
        pytest.param(
            {"resource": {"type": "Model", "id": "m", "__entity": 1}}, "resource: ", id="more"
        ),
        pytest.param({"action": None}, "action: ", id="no action"),
        pytest.param({"action": "fly"}, "action: 'fly'", id="an unknown action"),
        pytest.param({"mode": "observe"}, "'mode': unknown field", id="an unknown field"),
        pytest.param({"context": []}, "context: ", id="a context that is a list"),
        pytest.param({"context": {"hour": 2**63}}, "context.hour: is beyond", id="too large"),
        pytest.param({"context": {"hour": -(2**63) - 1}}, "context.hour: ", id="too small"),
        pytest.param({"context": {"hour": True}}, "context.hour: is not", id="true is no number"),
        pytest.param({"context": {"hour": 1.0}}, "context.hour: is not", id="a fraction"),
        pytest.param({"context": {"intent": 7}}, "context.intent: is not", id="an odd intent"),
        pytest.param({"context": {"goal": "\udfff"}}, "context.goal: ", id="half a goal"),
        pytest.param({"context": {"tools": ["a", 1]}}, "context.tools: ", id="an odd tool"),
        pytest.param(
            {"context": {"goal": {"__entity": {"type": "Agent", "id": "x"}}}},
            "context.goal: is not a text",
            id="an entity where a text belongs",
        ),
        pytest.param({"context": {"mood": "good"}}, "context.mood: no attribute", id="unknown"),
        pytest.param(
            {"context": {"delegation_chain": [{"from": 'User::"u"', "to": 'Agent::"z"'}]}},
            "does not lead to the principal",
            id="the chain of another",
        ),
        pytest.param(
            {"context": {"delegation_chain": [{"from": 1}]}}, "delegation_chain[0]", id="a bad link"
        ),
    ],
)
def test_a_bad_question_is_refused_with_its_field(change: dict[str, Any], said: str) -> None:
    """One error type, one line."""
    with pytest.raises(QuestionError) as caught:
        ask(ASKED | change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [None, [], "x", 7])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    """Whatever else JSON can hold."""
    with pytest.raises(QuestionError, match="the body must be an object"):
        read_question(body)


def test_an_asker_does_not_vouch_for_an_agent(tmp_path: Path) -> None:
    """Trust is what the registry says, and a cut-off agent is denied before any policy."""
    said = ASKED | {"context": {"trust": "trusted"}}
    assert ask(said, agent=None).effect is Effect.DENY
    (tmp_path / "a.cedar").write_text(
        'permit(principal, action, resource) when { context.trust == "trusted" };'
    )
    assert ask(said, tmp_path, agent=None).effect is Effect.DENY
    assert ask(said, tmp_path).effect is Effect.ALLOW
    quarantined = ask(said, agent=Agent("a1", trust=Trust.QUARANTINED))
    assert [reason.policy_id for reason in quarantined.reasons] == ["agent-quarantined"]


def test_an_intent_that_does_not_fit_is_denied_first() -> None:
    """As for a call."""
    ruling = ask(ASKED | {"context": {"intent_category": "Nonsense"}})
    assert [reason.policy_id for reason in ruling.reasons] == ["intent-mismatch"]


def test_the_question_of_the_reference_is_answered_by_its_policy(tmp_path: Path) -> None:
    """Whether a key may be had for an intent: no category names keys, the policy decides."""
    (tmp_path / "p.cedar").write_text(
        """@id("reference")
        permit(principal == Agent::"a1", action == Action::"access_secret",
               resource == Secret::"openai-api-key")
        when { context.intent_category == "DataAnalysis" && context.goal_status == "Active" };"""
    )
    body = {
        "principal": 'Agent::"a1"',
        "action": 'Action::"access_secret"',
        "resource": 'Secret::"openai-api-key"',
    }
    for category, status, decision, policy in (
        ("DataAnalysis", "Active", "allow", "reference"),
        ("DataAnalysis", "Paused", "deny", "no-policy"),
        ("Research", "Active", "deny", "no-policy"),
        ("Nonsense", "Active", "deny", "intent-mismatch"),
    ):
        context = {"intent_category": category, "goal_status": status}
        answer = ask(body | {"context": context}, tmp_path).as_json()
        assert (answer["decision"], answer["reasons"][0]["policy_id"]) == (decision, policy)


def test_users_ask_too_and_a_chain_that_nobody_signed_is_not_valid(tmp_path: Path) -> None:
    """Depth and origin are told to the policies, validity is not."""
    (tmp_path / "a.cedar").write_text(
        """@id("u") permit(principal is User, action == Action::"read", resource)
        when { context.delegation_depth == 1 && !context.delegation_valid
               && context.delegated_by == "Agent::\\"a\\"" };"""
    )
    chain = [{"from": 'Agent::"a"', "to": 'User::"alice"', "scope": ["read"]}]
    body = {"principal": 'User::"alice"', "action": "read", "resource": 'Document::"d"'}
    assert ask(body, tmp_path).effect is Effect.DENY
    assert ask(body | {"context": {"delegation_chain": chain}}, tmp_path).effect is Effect.ALLOW


def test_what_waits_for_a_person_is_not_allowed(tmp_path: Path) -> None:
    """The reference product knows two words; the safe one of them is told."""
    (tmp_path / "a.cedar").write_text(
        '@id("w") @effect("require_approval") permit(principal, action, resource);'
    )
    ruling = ask(ASKED, tmp_path)
    assert ruling.effect is Effect.NEEDS_APPROVAL
    assert ruling.as_json()["decision"] == "deny"
