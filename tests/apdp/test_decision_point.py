"""Deciding: trust first, then Cedar; what errs, is unknown or in doubt is a denial."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.apdp import (
    NOTHING_SHOWN,
    DecisionPoint,
    Intents,
    PolicyFolder,
    Standing,
    load_intents,
    load_policies,
)
from interlock.apdp.context import KINDS, misfit
from interlock.apdp.policies import shipped
from interlock.apdp.standing import examine, unexplained
from interlock.apdp.told import ATTRIBUTES, Told, context_of
from interlock.errors import PolicyError
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Entity,
    Mode,
    Request,
    Stage,
    Trust,
    Why,
)

AGENT = Agent("research-agent", trust=Trust.TRUSTED, groups=("research",))
REQUEST = Request("POST", "https", Authority("api.openai.com", 443), "/v1/chat/completions")
CALL = Call("openai", "chat", Entity("Model", "gpt-4o"), REQUEST, b"", model="gpt-4o")
DELETE = replace(CALL, action="delete_file", resource=Entity("Service", "openai"))
NOON = 1_700_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def decide(
    folder: Path, text: str, call: Call = CALL, agent: Agent = AGENT, secret: str = "", **said: str
) -> Decision:
    """Decide one call by one policy text."""
    (folder / "test.cedar").write_text(text)
    policies = load_policies(folder)
    point = DecisionPoint(policies, load_intents(folder, policies.action_names))
    return point.decide(
        "dec_1", agent, call, Declaration(**said), secret=secret, mode=Mode.ENFORCE, now=NOON
    )


def test_an_answer_that_is_known_is_one_to_what_was_told(folder: Path) -> None:
    """Short or long, the next call of the same kind is judged by its own context."""
    (folder / "test.cedar").write_text(
        'permit (principal, action, resource) when { context.model like "gpt*" };'
    )
    point = DecisionPoint(load_policies(folder))

    def effect(model: str) -> Effect:
        call, said = replace(CALL, model=model), Declaration()
        decision = point.decide("d", AGENT, call, said, secret="", mode=Mode.ENFORCE, now=NOON)
        return decision.effect

    for good, bad in (("gpt-4o", "other"), ("gpt" * 1000, "other" * 1000)):
        asked = [effect(model) for model in (good, bad, good, bad)]
        assert asked == [Effect.ALLOW, Effect.DENY] * 2


class TestTheShippedPolicies:
    """What a newcomer gets without writing a policy."""

    @pytest.mark.parametrize(
        ("agent", "call", "category", "effect"),
        [
            pytest.param(AGENT, CALL, "", Effect.ALLOW, id="a trusted agent may chat"),
            pytest.param(AGENT, DELETE, "", Effect.DENY, id="and not delete"),
            pytest.param(
                replace(AGENT, trust=Trust.UNVERIFIED), CALL, "", Effect.DENY, id="nor a stranger"
            ),
            pytest.param(
                AGENT, DELETE, "Administration", Effect.DENY, id="the forbid lifted permits nothing"
            ),
        ],
    )
    def test_decide(self, agent: Agent, call: Call, category: str, effect: Effect) -> None:
        """As default.cedar says in words."""
        point = DecisionPoint(load_policies(shipped()))
        said = Declaration(intent_category=category)
        decision = point.decide("d", agent, call, said, secret="", mode=Mode.ENFORCE, now=NOON)
        assert decision.effect is effect


def test_the_policy_of_the_reference_documentation_works(folder: Path) -> None:
    """As printed there; the goal is not active, so the secret is denied."""
    text = """
    permit(principal == Agent::"research-agent", action == Action::"access_secret",
           resource == Secret::"openai-api-key")
    when { context.intent_category == "DataAnalysis" && context.goal_status == "Active" };
    permit(principal, action == Action::"chat", resource);
    """
    decision = decide(folder, text, secret="openai-api-key", intent_category="DataAnalysis")
    assert decision.effect is Effect.DENY
    assert decision.why == 'no-policy: no policy permits access_secret Secret::"openai-api-key"'
    without = decide(folder, text)
    assert without.effect is Effect.ALLOW


def test_a_call_needs_the_secret_too(folder: Path) -> None:
    """Call allowed and access denied is denied, for the reason of the access."""
    text = """
    permit(principal, action == Action::"chat", resource);
    @id("no-keys") @description("Keys stay here.")
    forbid(principal, action == Action::"access_secret", resource);
    """
    decision = decide(folder, text, secret="openai-api-key")
    assert decision.effect is Effect.DENY
    assert [reason.policy_id for reason in decision.reasons] == ["no-keys"]


def test_a_forbid_that_errs_counts_as_holding(folder: Path) -> None:
    """Cedar skips it; we do not."""
    text = """
    permit(principal, action, resource);
    @id("errs") forbid(principal, action, resource)
    when { context.max_tokens * 9223372036854775807 > 1 };
    """
    decision = decide(folder, text, replace(CALL, max_tokens=2**40))
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].policy_id == "errs"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"max_tokens": 2**70}, "context.max_tokens: is beyond 64 bits", id="2^70"),
        pytest.param({"max_tokens": -(2**64)}, "context.max_tokens: is beyond", id="-2^64"),
        pytest.param({"max_tokens": 10**5000}, "context.max_tokens: is beyond", id="10^5000"),
        pytest.param({"model": "\ud800"}, "context.model: is not Unicode", id="half a model"),
        pytest.param({"tools": ("t", "\udfff")}, "context.tools: is not Unicode", id="half a tool"),
        pytest.param(
            {"request": replace(REQUEST, path="/\udcff")}, "context.path: is not", id="odd path"
        ),
        pytest.param(
            {"resource": Entity("Model", "\ud800")}, "resource: is not", id="half a resource"
        ),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    folder: Path, change: dict[str, Any], said: str
) -> None:
    """A denial that says which, whether or not a policy looks at it."""
    decision = decide(folder, "permit(principal, action, resource);", replace(CALL, **change))
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].policy_id == "context-misfit"
    assert said in decision.reasons[0].description


def test_the_context_of_a_call_has_every_attribute_and_no_other() -> None:
    """What is checked by name is what policies are told."""
    context = context_of(AGENT, CALL, Declaration(), Mode.ENFORCE, NOON)
    assert list(context) == list(KINDS)
    assert misfit(context, CALL.resource) == ""


@pytest.mark.parametrize("name", KINDS)
def test_every_value_of_a_context_is_looked_at(name: str) -> None:
    """Whichever does not fit is named, among however many that do."""
    context = context_of(AGENT, CALL, Declaration(), Mode.ENFORCE, NOON)
    odd: dict[type, list[object]] = {
        str: [1, None, b"x", "\ud800"],
        bool: [1, "true", None],
        int: [True, 1.0, "1", 2**63, -(2**63) - 1],
        list: [("x",), "x", ["x", 1], ["\udfff"], None],
    }
    for value in odd[KINDS[name]]:
        assert misfit(context | {name: value}, CALL.resource).startswith(f"context.{name}: is ")
    assert misfit(context | {"other": 1}, CALL.resource).startswith("context.other: no attribute")


HALF = "\ud800"
# What a person or an agent chose, so that anything may stand in it; the rest is counted or ours.
FOREIGN: dict[str, dict[str, Any]] = {
    "intent": {"declared": Declaration(intent=HALF)},
    "intent_category": {"why": Why(intent_category=HALF)},
    "goal": {"declared": Declaration(goal=HALF)},
    "goal_status": {"why": Why(goal_status=HALF)},
    "goal_actions_left": {"why": Why(goal_actions_left=2**63)},
    "delegated_by": {"why": Why(delegated_by=HALF)},
    "actor_chain": {"why": Why(actors=("a", HALF))},
    "method": {"call": replace(CALL, request=replace(REQUEST, method=HALF))},
    "host": {"call": replace(CALL, request=replace(REQUEST, authority=Authority(HALF, 443)))},
    "path": {"call": replace(CALL, request=replace(REQUEST, path=f"/{HALF}"))},
    "model": {"call": replace(CALL, model=HALF)},
    "tools": {"call": replace(CALL, tools=("t", HALF))},
    "max_tokens": {"call": replace(CALL, max_tokens=-(2**63) - 1)},
    "now": {"now": 2.0**64},
    "source_ip": {"call": replace(CALL, request=replace(REQUEST, source_ip=HALF))},
    "session": {"agent": replace(AGENT, session=HALF)},
}
OURS = {"trust", "mode", "server_trust", "delegation_depth", "body_bytes"}


@pytest.mark.parametrize("name", [*FOREIGN])
def test_nothing_odd_passes_at_a_glance(name: str) -> None:
    """What a context would not fit for is seen without one."""
    told = Told(AGENT, CALL, Declaration(), Mode.ENFORCE, NOON, unexplained(AGENT.name))
    odd = replace(told, **FOREIGN[name])
    assert told.is_plain()
    assert not odd.is_plain()
    assert misfit({name: ATTRIBUTES[name](odd)}, CALL.resource).startswith(f"context.{name}: is ")


def test_no_attribute_is_forgotten_by_the_glance() -> None:
    """Each is looked at, or cannot but fit: a flag, a word of ours, a number that we count."""
    flags = {name for name, kind in KINDS.items() if kind is bool}
    assert FOREIGN.keys() | OURS | flags | {"hour", "weekday"} == KINDS.keys()


def test_no_reason_given_is_told_alike_however_it_is_looked_up() -> None:
    """Whether nobody looked, or the records had nothing."""
    said, intents = Declaration(), Intents({})
    asked = [
        examine(AGENT, CALL, (), said, standing, intents, NOON)
        for standing in (NOTHING_SHOWN, Standing())
    ]
    assert asked == [(unexplained(AGENT.name), None)] * 2


def test_a_permit_that_errs_permits_nothing(folder: Path) -> None:
    """And does not hinder another permit."""
    erring = (
        "permit(principal, action, resource) when { context.max_tokens * 9223372036854775807 > 1 };"
    )
    call = replace(CALL, max_tokens=2**40)
    assert decide(folder, erring, call).effect is Effect.DENY
    assert (
        decide(folder, erring + "permit(principal, action, resource);", call).effect is Effect.ALLOW
    )


@pytest.mark.parametrize("trust", [Trust.QUARANTINED, Trust.REVOKED])
def test_trust_comes_before_every_policy(folder: Path, trust: Trust) -> None:
    """A policy that permits everything does not help an agent that is cut off."""
    decision = decide(
        folder, "permit(principal, action, resource);", agent=replace(AGENT, trust=trust)
    )
    assert decision.effect is Effect.DENY
    assert decision.stage is Stage.TRUST


def test_a_call_in_doubt_is_denied_whatever_policy_says(folder: Path) -> None:
    """And the denial binds in observe mode too when a secret is involved."""
    (folder / "all.cedar").write_text("permit(principal, action, resource);")
    point = DecisionPoint(load_policies(folder))
    call = replace(CALL, doubt="ambiguous_body: a key stands twice")
    for secret, enforced in (("", False), ("openai-api-key", True)):
        decision = point.decide(
            "d", AGENT, call, Declaration(), secret=secret, mode=Mode.OBSERVE, now=NOON
        )
        assert decision.effect is Effect.DENY
        assert decision.enforced is enforced


def test_a_policy_can_ask_for_approval(folder: Path) -> None:
    """Only when nothing permits it without; and it is not an allow."""
    asks = '@effect("require_approval") permit(principal, action, resource);'
    assert decide(folder, asks).effect is Effect.NEEDS_APPROVAL
    assert decide(folder, asks + "permit(principal, action, resource);").effect is Effect.ALLOW
    assert decide(folder, asks + "forbid(principal, action, resource);").effect is Effect.DENY


def test_an_observed_policy_changes_nothing(folder: Path) -> None:
    """`@effect("observe")` keeps a policy out of the live set."""
    permit = "permit(principal, action, resource);"
    observed = '@effect("observe") forbid(principal, action, resource);'
    assert decide(folder, permit + observed).effect is Effect.ALLOW


@pytest.mark.parametrize(
    "name",
    ['a"b', "a\\b", "a\nb", "{}", '{"__entity":{"type":"Agent","id":"x"}}', "ä", "\x00", ""],
)
def test_what_an_agent_sends_is_never_more_than_a_string(folder: Path, name: str) -> None:
    """Odd model names and intents are compared as text; nothing breaks, nothing matches."""
    text = 'permit(principal, action, resource == Model::"gpt-4o");'
    call = replace(CALL, model=name, resource=Entity("Model", name), tools=(name,))
    decision = decide(folder, text, call, intent=name, goal=name, intent_category=name)
    assert decision.effect is Effect.DENY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("permit(principal", "test.cedar:1:17: unexpected", id="syntax"),
        pytest.param(
            '@id("p") permit(principal, action, resource) when { context.nope };',
            "policy 'p'",
            id="an unknown attribute",
        ),
        pytest.param(
            '@effect("explode") permit(principal, action, resource);',
            "unknown @effect",
            id="an unknown effect",
        ),
        pytest.param(
            '@id("p") permit(principal, action, resource);' * 2,
            "'p' is used twice",
            id="an id twice",
        ),
        pytest.param("(" * 800 + ")" * 800, "nested deeper", id="800 brackets"),
        pytest.param("1 == 1 && " * 20_000, "more than 1000 operators", id="20,000 operators"),
        pytest.param(
            "permit(principal == ?principal, action, resource);", "needs an @id", id="slot"
        ),
    ],
)
def test_a_broken_set_is_refused_and_named(folder: Path, text: str, said: str) -> None:
    """One line with file and policy."""
    with pytest.raises(PolicyError, match=said) as refused:
        decide(folder, text)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_text_is_refused(folder: Path) -> None:
    """Half-written and huge files are, too."""
    (folder / "a.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policies(folder)
    (folder / "a.cedar").write_bytes(b"/" * (2 << 20))
    with pytest.raises(PolicyError, match="larger than"):
        load_policies(folder)


def test_a_reload_keeps_the_last_good_set(folder: Path) -> None:
    """A broken file changes nothing; an unchanged one is not read again."""
    (folder / "a.cedar").write_text("permit(principal, action, resource);")
    policies = PolicyFolder(folder)
    good = policies.current
    taken: list[object] = []

    def loaded(*new: object) -> None:
        taken.append(new)

    assert not policies.reload(loaded)
    (folder / "a.cedar").write_text("permit(")
    assert not policies.reload(loaded)
    assert policies.current is good
    (folder / "a.cedar").write_text("forbid(principal, action, resource);")
    assert policies.reload(loaded)
    assert policies.current is not good
    assert taken == [(policies.current, policies.intents)]
    (folder / "intents.toml").write_text("[Mine]\ndescription = 'x'\nactions = ['read']\n")
    assert policies.reload(loaded)
    assert list(policies.intents.categories) == ["Mine"]
