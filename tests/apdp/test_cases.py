"""Cases: questions to the policies, with the answers that they must get."""

import re
from pathlib import Path

import pytest

from interlock.apdp import load_policies
from interlock.apdp.case import Case, parse_case
from interlock.apdp.cases import Outcome, load_cases, parse_cases, run_case
from interlock.apdp.difference import changes
from interlock.apdp.policies import shipped
from interlock.errors import PolicyError
from interlock.model import Effect

CASE = {
    "name": "it may",
    "principal": {"name": "a1", "trust": "trusted", "owner": "ada", "groups": ["lab"]},
    "action": "chat",
    "resource": 'Model::"gpt-4o"',
    "expect": "allow",
}
PERMIT = "permit(principal, action, resource)"


def ask(folder: Path, text: str, **changed: object) -> Outcome:
    """Put a case, changed in some fields, to one policy text."""
    (folder / "test.cedar").write_text(text)
    return run_case(load_policies(folder), parse_case("a.yaml", CASE | changed))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in load_cases(shipped())]
)
def test_the_shipped_policies_do_what_their_cases_say(case: Case) -> None:
    """Every case of policies/cases passes."""
    outcome = run_case(load_policies(shipped()), case)
    assert outcome.passed, outcome.got


def test_the_readme_teaches_what_works(tmp_path: Path) -> None:
    """Its policy loads, and its cases pass."""
    text = (shipped() / "README.md").read_text()
    policy, cases = (
        re.search(f"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("cedar", "yaml")
    )
    assert policy
    assert cases
    (tmp_path / "research.cedar").write_text(policy[1])
    outcomes = [run_case(load_policies(tmp_path), case) for case in parse_cases("", cases[1])]
    assert [outcome.passed for outcome in outcomes] == [True] * 4


@pytest.mark.parametrize(
    ("when", "changed"),
    [
        ('principal in Group::"lab" && principal is Agent && principal.owner == "ada"', {}),
        ('context.trust == "trusted" && context.mode == "enforce"', {}),
        ('context.model == "gpt-4o" && context.actor_chain.contains("Agent::\\"a1\\"")', {}),
        ('resource in Service::"openai"', {"service": "openai"}),
        (
            'resource is Endpoint && resource.host == "b.example"',
            {"resource": 'Endpoint::"b.example"'},
        ),
        ('context.host == "b.example:8443"', {"resource": 'Endpoint::"b.example:8443"'}),
        ('context.host == "[::1]:8443"', {"resource": 'Endpoint::"[::1]:8443"'}),
        ('resource == Service::"openai"', {"resource": 'Service::"openai"'}),
        ('resource == Model::"a\\"b"', {"resource": 'Model::"a\\"b"'}),
        (
            'context.tools.contains("sh") && context.hour > 20 && context.stream',
            {"context": {"tools": ["sh"], "hour": 23, "stream": True}},
        ),
    ],
)
def test_a_case_is_put_as_a_real_call_would_be(
    tmp_path: Path, when: str, changed: dict[str, object]
) -> None:
    """Entities and context are complete; what the case says of the context goes before."""
    assert ask(tmp_path, f"{PERMIT} when {{ {when} }};", **changed).passed
    assert not ask(tmp_path, f"{PERMIT} unless {{ {when} }};", **changed).passed


@pytest.mark.parametrize(
    ("text", "effect", "reason"),
    [
        pytest.param(
            f'@id("p") {PERMIT}; @id("f") forbid(principal, action, resource is Secret);',
            Effect.DENY,
            "f",
            id="the secret is forbidden",
        ),
        pytest.param(
            f'@id("p") {PERMIT} when {{ resource is Model }}; '
            f'@id("a") @effect("require_approval") {PERMIT} when {{ resource is Secret }};',
            Effect.NEEDS_APPROVAL,
            "a",
            id="the secret needs a person",
        ),
        pytest.param(
            f'@id("p") {PERMIT}; @id("e") forbid(principal, action, resource) '
            "when { context.max_tokens * 9223372036854775807 > 1 };",
            Effect.DENY,
            "e",
            id="a forbid that errs holds",
        ),
    ],
)
def test_the_weakest_answer_counts(tmp_path: Path, text: str, effect: Effect, reason: str) -> None:
    """As the decision point would answer, for call and secret together."""
    asked = {"secret": "k", "context": {"max_tokens": 2**40}, "expect": str(effect)}
    outcome = ask(tmp_path, text, **asked, policy=reason)
    assert outcome.passed
    assert outcome.got == f"{effect} by {reason}"
    assert not ask(tmp_path, text, **asked, policy="another").passed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"action": "fly"}, "'fly' is no action", id="an unknown action"),
        pytest.param({"context": {"hour": 2**63}}, "failed to build", id="a number too large"),
    ],
)
def test_what_cannot_be_asked_is_an_error_and_no_denial(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    """Else a case that expects a denial would pass for nothing."""
    with pytest.raises(PolicyError, match=f"a.yaml: case 'it may': .*{said}"):
        ask(tmp_path, f"{PERMIT};", **changed, expect="deny")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"resource": "gpt-4o"}, "resource: 'gpt-4o' is not"),
        ({"resource": 'Modle::"gpt-4o"'}, "is not TYPE"),
        ({"resource": 'Model::"a\\nb"'}, "is not TYPE"),
        ({"action": 17}, "action: 17 is not text"),
        ({"expect": "yes"}, "expect: 'yes' is not one of allow"),
        ({"expect": None}, "expect: is missing"),
        ({"expects": "allow"}, "expects: unknown field"),
        ({"principal": {"trust": "trusted"}}, "principal: name: is missing"),
        ({"principal": {"name": "a", "role": "x"}}, "principal: role: unknown field"),
        ({"principal": {"name": "a", "trust": "much"}}, "principal: trust: 'much'"),
        ({"principal": {"name": "a", "trust": "revoked"}}, "denied before any policy"),
        ({"principal": {"name": "a", "groups": "lab"}}, "principal: groups: use a list"),
        ({"principal": ["a"]}, "principal: use fields"),
        ({"context": None}, "context: use fields"),
        ({"context": {"goals": "x"}}, "context: goals: unknown field"),
        ({"context": {"hour": "9"}}, "context: hour: '9' has the wrong type"),
        ({"context": {"hour": True}}, "context: hour: True has"),
        ({"context": {"tools": [1]}}, r"context: tools: \[1\] has"),
        ({"context": {"host": 1}}, "host: 1 is not text"),
        ({"context": {"intent": None}}, "context: intent: None has"),
    ],
)
def test_a_case_that_says_nothing_sensible_is_refused(
    changed: dict[str, object], said: str
) -> None:
    """With the field."""
    with pytest.raises(ValueError, match=said):
        parse_case("a.yaml", CASE | changed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "a.yaml: use a list", id="empty"),
        pytest.param("name: x", "a.yaml: use a list", id="one case without a list"),
        pytest.param("- name: x\n  name: y", "a.yaml:2: found duplicate key", id="a field twice"),
        pytest.param("- [", "a.yaml:1: expected", id="text that is no YAML"),
        pytest.param("- !!python/name:os.system x", "a.yaml:1: could not", id="an object"),
        pytest.param("- \0", "a.yaml: unacceptable", id="a NUL"),
        pytest.param("[" * 5000, "a.yaml: maximum recursion", id="endless nesting"),
        pytest.param("- 2024-13-45", "a.yaml: month", id="a date that is none"),
        pytest.param("- x", "a.yaml: case 1: use fields", id="a case that is a word"),
        pytest.param("- &a [*a]", "a.yaml: case 1: use fields", id="a list in itself"),
        pytest.param("- name: it may", "case 'it may': principal: is missing", id="half a case"),
    ],
)
def test_a_broken_file_is_refused_and_named(text: str, said: str) -> None:
    """One line with file and line, or file and case."""
    with pytest.raises(PolicyError) as refused:
        parse_cases("a.yaml", text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_needs_cases(tmp_path: Path) -> None:
    """No case at all proves nothing; bytes that are no text are named."""
    with pytest.raises(PolicyError, match=r"no \*\.yaml file"):
        load_cases(tmp_path)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a.yaml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"a\.yaml: not UTF-8"):
        load_cases(tmp_path)


def test_folders_differ_by_policies_and_not_by_layout(tmp_path: Path) -> None:
    """Added, removed and changed by id, observed ones too; comments and blanks do not count."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    (old / "a.cedar").write_text(f'@id("x"){PERMIT}; @id("y"){PERMIT}; @id("gone"){PERMIT};')
    (new / "b.cedar").write_text(f'@id("x")\n{PERMIT}; // as before\n@id("come"){PERMIT};')
    (new / "c.cedar").write_text(f'@id("y") @effect("observe") {PERMIT};')
    found = changes(old, new)
    assert [(change.id, change.kind) for change in found] == [
        ("come", "added"),
        ("gone", "removed"),
        ("y", "changed"),
    ]
    assert "observe" in found[2].after
    assert changes(old, old) == ()
