"""Explaining: every stage, every policy whose scope fits, and the part that failed."""

from dataclasses import replace
from pathlib import Path

import pytest

from interlock.apdp import Standing, load_intents, load_policies
from interlock.apdp.explain import STAGES, Explanation, Step, explain
from interlock.apdp.replay import Situation
from interlock.errors import PolicyError
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
from interlock.store.goals import Goal, Status

PAUSED = Goal("g1", status=Status.PAUSED)
AGENT = Agent("a1", groups=("lab",), trust=Trust.TRUSTED)
REQUEST = Request("POST", "https", Authority("api.openai.com", 443), "/v1/chat/completions")
CALL = Call("openai", "chat", Entity("Model", "gpt-4o"), REQUEST, b"", model="gpt-4o")
NOON = 1_704_283_200.0
SITUATION = Situation(AGENT, CALL, Declaration(), "", Mode.ENFORCE, NOON)
POLICIES = """
@id("lab") @description("The lab chats.")
permit (principal in Group::"lab", action == Action::"chat", resource)
when { context.host == "api.openai.com" && context.model == "gpt-4o" }
unless { context.method == "GET" || context.intent == "harm" };
@id("not-mini") forbid (principal, action, resource == Model::"gpt-4o-mini");
@id("keys") permit (principal, action == Action::"access_secret", resource);
@id("elsewhere") permit (principal == Agent::"a2", action, resource);
"""
ERRING = """
@id("errs") forbid (principal, action, resource)
when { context.hour == 12 && context.max_tokens * 9223372036854775807 > 1 };
"""


def ask(folder: Path, situation: Situation = SITUATION, text: str = POLICIES) -> Explanation:
    """Explain by one policy text."""
    (folder / "test.cedar").write_text(text)
    policies = load_policies(folder)
    return explain(policies, load_intents(folder, policies.action_names), situation)


def told(explanation: Explanation) -> list[tuple[str, bool, bool, tuple[str, ...]]]:
    """What is said of each policy of each question."""
    return [
        (applied.id, applied.holds, applied.counted, applied.failed)
        for ruling in explanation.rulings
        for applied in ruling.policies
    ]


def test_an_allowed_call_names_what_permits_it(tmp_path: Path) -> None:
    """For the call and for its secret; a policy for somebody else is not mentioned."""
    answer = ask(tmp_path, replace(SITUATION, secret="key"))
    assert answer.decision.effect is Effect.ALLOW
    assert [(ruling.action, ruling.effect) for ruling in answer.rulings] == [
        ("chat", Effect.ALLOW),
        ("access_secret", Effect.ALLOW),
    ]
    assert told(answer) == [("lab", True, True, ()), ("keys", True, True, ())]
    assert all(step.passed for step in answer.steps)
    assert [step.stage for step in answer.steps] == list(STAGES)


@pytest.mark.parametrize(
    ("call", "intent", "failed"),
    [
        pytest.param(
            replace(CALL, model="gpt-5"),
            "",
            ('when { (context.model) == "gpt-4o" }',),
            id="half of a when",
        ),
        pytest.param(CALL, "harm", ('unless { (context.intent) == "harm" }',), id="half an unless"),
        pytest.param(
            replace(CALL, model="gpt-5", request=replace(REQUEST, method="GET")),
            "",
            ('when { (context.model) == "gpt-4o" }', 'unless { (context.method) == "GET" }'),
            id="one of each",
        ),
    ],
)
def test_what_nearly_applied_says_what_it_lacked(
    tmp_path: Path, call: Call, intent: str, failed: tuple[str, ...]
) -> None:
    """Only the part of the condition that is false, not all of it."""
    answer = ask(tmp_path, replace(SITUATION, call=call, declared=Declaration(intent=intent)))
    assert answer.decision.effect is Effect.DENY
    assert told(answer) == [("lab", False, False, failed)]


def test_a_forbid_outweighs_a_permit(tmp_path: Path) -> None:
    """The permit holds and does not count."""
    answer = ask(tmp_path, replace(SITUATION, call=replace(CALL, resource=mini())))
    assert answer.decision.effect is Effect.DENY
    assert told(answer) == [("lab", True, False, ()), ("not-mini", True, True, ())]


def mini() -> Entity:
    """The model that is forbidden."""
    return Entity("Model", "gpt-4o-mini")


def test_a_forbid_that_errs_counts(tmp_path: Path) -> None:
    """And the part that could not be evaluated is shown."""
    call = replace(CALL, max_tokens=2**40)
    answer = ask(tmp_path, replace(SITUATION, call=call), POLICIES + ERRING)
    (erring, _) = told(answer)
    assert erring[:3] == ("errs", False, True)
    assert "max_tokens" in erring[3][0]
    assert erring[3][0].endswith("(could not be evaluated)")


@pytest.mark.parametrize(
    ("situation", "stage", "said"),
    [
        pytest.param(
            replace(SITUATION, agent=replace(AGENT, trust=Trust.REVOKED)),
            Stage.TRUST,
            "agent-revoked: a1 is cut off",
            id="an agent that is cut off",
        ),
        pytest.param(
            replace(SITUATION, declared=Declaration(intent_category="Nonsense")),
            Stage.INTENT,
            "intent-mismatch: the intent category 'Nonsense' is unknown",
            id="an unknown category",
        ),
        pytest.param(
            replace(SITUATION, declared=Declaration(goal="g1"), standing=Standing(PAUSED)),
            Stage.GOAL,
            "goal-not-active: the goal 'g1' is Paused",
            id="a goal that rests",
        ),
        pytest.param(
            replace(SITUATION, standing=Standing(broken="link 1 is revoked")),
            Stage.DELEGATION,
            "delegation-broken: link 1 is revoked",
            id="a delegation that was taken back",
        ),
        pytest.param(
            replace(SITUATION, call=replace(CALL, doubt="two keys")),
            Stage.POLICY,
            "call-in-doubt: two keys",
            id="a call in doubt",
        ),
    ],
)
def test_behind_a_stage_that_objects_nothing_was_asked(
    tmp_path: Path, situation: Situation, stage: Stage, said: str
) -> None:
    """No policy was asked, so none is told; every stage is named all the same."""
    answer = ask(tmp_path, situation)
    assert answer.decision.stage is stage
    settled = STAGES.index(stage)
    assert answer.steps[settled] == Step(stage, False, said)
    assert all(step.passed is None for step in answer.steps[settled + 1 :])
    assert all(step.passed is not False for step in answer.steps[:settled])
    assert answer.rulings == ()


def test_a_call_that_waits_for_a_person_passed_the_policies(tmp_path: Path) -> None:
    """The stage of approval names what is lacking."""
    text = '@id("ask") @effect("require_approval") permit (principal, action, resource);'
    *_, policy, approval = ask(tmp_path, text=text).steps
    assert policy == Step(Stage.POLICY, True, "ask")
    assert approval == Step(Stage.APPROVAL, False, "a person has to permit it")


def test_the_stages_before_tell_what_they_found(tmp_path: Path) -> None:
    """The category and the goal that were declared."""
    declared = Declaration(intent_category="Research", goal="g1")
    standing = Standing(Goal("g1"))
    answer = ask(tmp_path, replace(SITUATION, declared=declared, standing=standing))
    assert [step.said for step in answer.steps[1:4]] == [
        "Research fits",
        "g1 is Active",
        "none shown",
    ]


def test_an_unknown_action_is_bad_input(tmp_path: Path) -> None:
    """The schema has no word for it."""
    with pytest.raises(PolicyError, match="no action of the schema"):
        ask(tmp_path, replace(SITUATION, call=replace(CALL, action="fly")))
