"""The linter: every finding of a folder with its place, no false ones, and no crash."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.apdp import DecisionPoint, load_policies
from interlock.apdp.check import ERROR, Finding, check
from interlock.apdp.policies import shipped
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
    Trust,
)

NOTES = '@id("p") @description("d") '
CHAT = 'permit(principal, action == Action::"chat", resource)'


def found(folder: Path, text: str | bytes, name: str = "a.cedar") -> tuple[Finding, ...]:
    """Check a folder with one file."""
    raw = text if isinstance(text, bytes) else text.encode()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw)
    if not name.endswith(".cedar"):
        (folder / "ok.cedar").write_text(f"{NOTES}{CHAT};")
    return check(folder)


def test_the_shipped_policies_have_no_finding() -> None:
    """Not even a warning."""
    assert check(shipped()) == ()


@pytest.mark.parametrize(
    ("text", "line", "column", "rule", "said"),
    [
        pytest.param("permit(", 1, 8, "syntax", "end of input", id="an end too early"),
        pytest.param(
            f"{NOTES}{CHAT};\npermit(principal action, resource);",
            2,
            18,
            "syntax",
            "unexpected token `action`",
            id="a comma that is missing",
        ),
        pytest.param(
            f"{NOTES}{CHAT} when {{ (1 == 1 }};",
            1,
            97,
            "syntax",
            "unexpected token `}`",
            id="the last of many brackets",
        ),
        pytest.param(
            f"{NOTES}{CHAT} when {{ foo(1) }};", 1, 89, "syntax", "`foo`", id="no function"
        ),
        pytest.param(
            f'@id("a")\n@id("b") {CHAT};', 2, 2, "syntax", "duplicate", id="an annotation twice"
        ),
        pytest.param(
            f'{NOTES}{CHAT} when {{ context.goal == "x }};',
            1,
            105,
            "syntax",
            "invalid token",
            id="a string without an end",
        ),
        pytest.param(
            f"{NOTES}{CHAT}\n  when {{ context.max_tokns > 1 }};",
            2,
            18,
            "schema",
            "`max_tokns`",
            id="an unknown attribute",
        ),
        pytest.param(
            NOTES + CHAT.replace('"chat"', '"fly"') + ";",
            1,
            56,
            "schema",
            "unrecognized action",
            id="an unknown action",
        ),
        pytest.param(
            f'@effect("maybe") {NOTES}{CHAT};', 1, 1, "annotation", "@effect: 'maybe'", id="effect"
        ),
        pytest.param(
            f'{NOTES}@timeout("9h") {CHAT};', 1, 28, "annotation", "@timeout: '9h'", id="timeout"
        ),
        pytest.param(
            f"{NOTES}{CHAT};\n{NOTES}{CHAT};", 2, 28, "duplicate-id", "'p'", id="one id twice"
        ),
        pytest.param("(" * 800, 1, 65, "unreadable", "nested deeper", id="deep brackets"),
        pytest.param(
            f"{NOTES}{CHAT} when {{ 1{' + 1' * 20_000} > 0 }};",
            1,
            28,
            "unreadable",
            "1000 operators",
            id="a long sum",
        ),
        pytest.param(
            f"{NOTES}{CHAT} when {{ true{' && ";" == ";"' * 5_000} }};",
            1,
            28,
            "unreadable",
            "1000 operators",
            id="a long condition with semicolons in it",
        ),
        pytest.param(
            b"// \xc3\xa4\xff", 1, 5, "unreadable", "not UTF-8", id="bytes that are no text"
        ),
    ],
)
def test_an_error_is_told_with_its_place(
    tmp_path: Path, text: str | bytes, line: int, column: int, rule: str, said: str
) -> None:
    """Line and column count from 1, in characters; the front door names the same line."""
    first, *_ = [f for f in found(tmp_path, text) if f.severity == ERROR]
    assert (first.line, first.column, first.rule) == (line, column, rule)
    assert said in first.message
    with pytest.raises(PolicyError):
        load_policies(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "line", "column", "said"),
    [
        pytest.param(
            "schema.cedarschema", "entity A\n{ b String };", 2, 5, "`String`", id="schema"
        ),
        pytest.param("schema.cedarschema", "entity A in [B];", 1, 14, "B", id="an unknown type"),
        pytest.param("intents.toml", "[A]\nx = = 1", 2, 5, "Invalid value", id="no TOML"),
        pytest.param(
            "intents.toml",
            '[A]\ndescription = "d"\nactions = ["fly"]',
            3,
            1,
            "'fly'",
            id="a category with an unknown action",
        ),
        pytest.param("cases/a.yaml", "- [", 1, 4, "expected", id="no YAML"),
        pytest.param(
            "cases/a.yaml",
            '- name: a\n  principal: x\n  action: fly\n  resource: Tool::"t"\n  expect: deny',
            3,
            3,
            "'fly'",
            id="a case with an unknown action",
        ),
    ],
)
def test_the_other_files_of_a_folder_are_looked_at_too(
    tmp_path: Path, name: str, text: str, line: int, column: int, said: str
) -> None:
    """Schema, categories and cases, each with its place."""
    errors = [f for f in found(tmp_path, text, name) if f.severity == ERROR]
    assert [(f.line, f.column) for f in errors if said in f.message] == [(line, column)]
    assert errors[0].file == str(tmp_path / name)


def test_all_findings_are_told_not_only_the_first(tmp_path: Path) -> None:
    """In every file, and behind a syntax error too."""
    (tmp_path / "b.cedar").write_text(f"{NOTES}{CHAT} when {{ context.nothing }};")
    rules = [(Path(f.file).name, f.line, f.rule) for f in found(tmp_path, "permit(;\nforbid(;")]
    assert rules == [("a.cedar", 1, "syntax"), ("a.cedar", 2, "syntax"), ("b.cedar", 1, "schema")]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        pytest.param(f"{CHAT};", ["no-description", "no-id"], id="no names"),
        pytest.param(f'{NOTES}@efect("observe") {CHAT};', ["annotation"], id="a name misspelt"),
        pytest.param(f'{NOTES}@author("me") {CHAT};', [], id="a name of one's own"),
        pytest.param(f"{NOTES}{CHAT} when {{ false }};", ["unreachable"], id="false"),
        pytest.param(
            f"{NOTES}{CHAT} when {{ resource is Secret }};", ["unreachable"], id="never a secret"
        ),
        pytest.param(
            f'{NOTES}{CHAT} when {{ context.host == "a" && context.host == "b" }};',
            ["unreachable"],
            id="two hosts at once",
        ),
        pytest.param(
            f'{NOTES}{CHAT} when {{ context.host == "a" || context.host == "b" }};', [], id="either"
        ),
        pytest.param(
            f"{NOTES}{CHAT.replace('permit', 'forbid')} "
            "when { context.hour * 9223372036854775807 > 1 && false };",
            [],
            id="a forbid that may err holds then",
        ),
        pytest.param(f"{NOTES}{CHAT} when {{ principal is User }};", [], id="users"),
        pytest.param(
            f'{NOTES}{CHAT} when {{ context.intent_category == "Nonsense" }};',
            ["unknown-word"],
            id="an unknown category",
        ),
        pytest.param(
            f'{NOTES}{CHAT} when {{ context.goal_status == "active" }};',
            ["unknown-word"],
            id="a status in the wrong case",
        ),
        pytest.param(
            f'{NOTES}permit(principal, action in Action::"execute", resource);'
            f'@id("q") @description("d") {CHAT} when {{ context.hour > 3 }};',
            ["shadowed"],
            id="a wider permit",
        ),
        pytest.param(
            f'{NOTES}permit(principal, action in Action::"execute", resource);'
            f'@id("q") @description("d") @effect("require_approval") {CHAT};',
            [],
            id="another effect",
        ),
        pytest.param(
            f'{NOTES}forbid(principal, action, resource);@id("q") @description("d") {CHAT};',
            ["shadowed"],
            id="all is forbidden",
        ),
        pytest.param(
            f'{NOTES}{CHAT};@id("q") @description("d") {CHAT.replace("permit", "forbid")};',
            ["shadowed"],
            id="the permit is shadowed and the forbid is not",
        ),
        pytest.param("// nothing\n" + f"{NOTES}{CHAT}; // the end", [], id="comments"),
    ],
)
def test_a_warning_is_certain(tmp_path: Path, text: str, rules: list[str]) -> None:
    """What is only likely is not told."""
    findings = found(tmp_path, text)
    assert [finding.rule for finding in findings] == rules
    assert not any(finding.severity == ERROR for finding in findings)


def test_an_empty_folder_has_an_error(tmp_path: Path) -> None:
    """There is one whenever the front door would not load the folder."""
    (finding,) = check(tmp_path)
    assert (finding.severity, finding.rule) == (ERROR, "load")


PRINCIPALS = (
    "principal",
    "principal is Agent",
    'principal == Agent::"a"',
    'principal in Group::"g"',
)
ACTIONS = (
    "action",
    'action == Action::"chat"',
    'action in Action::"execute"',
    'action in [Action::"chat", Action::"embed"]',
    'action in [Action::"execute", Action::"read"]',
)
RESOURCES = ("resource", "resource is Model", 'resource == Model::"m"', 'resource in Service::"s"')
PARTS = (
    'context.host == "h"',
    'context.host == "i"',
    "context.stream",
    "context.max_tokens * 4611686018427387904 > 1",
    "resource is Secret",
    'principal.trust == "trusted"',
    "false",
)
ids = st.integers(0, 10**6)
bodies = st.tuples(
    st.sampled_from(("permit", "permit", "forbid", '@effect("require_approval") permit')),
    st.sampled_from(PRINCIPALS),
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    st.lists(st.sampled_from(PARTS), max_size=2),
    st.sampled_from(("when", "unless")),
)
calls = st.builds(
    lambda action, model, host, stream, tokens, groups, trust: (
        Agent("a" if groups else "b", trust=trust, groups=("g",) if groups else ()),
        Call(
            "s",
            action,
            Entity("Model", model),
            Request("POST", "https", Authority(host, 443), "/"),
            b"",
            model=model,
            stream=stream,
            max_tokens=tokens,
        ),
    ),
    st.sampled_from(("chat", "embed", "list_models")),
    st.sampled_from(("m", "n")),
    st.sampled_from(("h", "i", "j")),
    st.booleans(),
    st.sampled_from((0, 1, 2**40)),
    st.booleans(),
    st.sampled_from((Trust.TRUSTED, Trust.UNVERIFIED)),
)


def written(number: int, body: tuple[str, str, str, str, list[str], str]) -> str:
    """One policy as text."""
    effect, principal, action, resource, parts, kind = body
    joined = (" && " if kind == "when" else " || ").join(parts)
    condition = f" {kind} {{ {joined} }}" if parts else ""
    return f'@id("p{number}") {effect}({principal}, {action}, {resource}){condition};\n'


def answers(folder: Path, policies: list[str], asked: list[tuple[Agent, Call]]) -> list[Effect]:
    """What a set says to some calls."""
    (folder / "a.cedar").write_text("".join(policies))
    point = DecisionPoint(load_policies(folder))
    return [
        point.decide("d", agent, call, Declaration(), secret="", mode=Mode.ENFORCE, now=1e9).effect
        for agent, call in asked
    ]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    drawn=st.lists(bodies, min_size=2, max_size=8), asked=st.lists(calls, min_size=8, max_size=8)
)
def test_a_policy_that_cannot_matter_can_be_removed(
    tmp_path: Path,
    drawn: list[tuple[str, str, str, str, list[str], str]],
    asked: list[tuple[Agent, Call]],
) -> None:
    """Random requests get the same decision without it, from the engine itself."""
    filler = '@id("filler") forbid(principal is Service, action, resource);\n'
    texts = {f"p{n}": written(n, body) for n, body in enumerate(drawn)}
    (tmp_path / "a.cedar").write_text("".join(texts.values()) + filler)
    findings = check(tmp_path)
    if any(finding.severity == ERROR for finding in findings):
        return
    useless = [
        finding.message.split("'")[1]
        for finding in findings
        if finding.rule in ("unreachable", "shadowed")
    ]
    whole = answers(tmp_path, [*texts.values(), filler], asked)
    for id_ in useless:
        without = [text for other, text in texts.items() if other != id_]
        assert answers(tmp_path, [*without, filler], asked) == whole, (id_, texts)
    # All permits that cover each other may not go together, but what is told may.
    kept = [text for id_, text in texts.items() if id_ not in useless]
    assert answers(tmp_path, [*kept, filler], asked) == whole


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.sampled_from(
            (
                *PRINCIPALS,
                *ACTIONS,
                *PARTS,
                "permit(",
                ")",
                ";",
                "when {",
                "}",
                '"',
                "//",
                "\n",
                "@id",
            )
        ),
        max_size=20,
    )
)
def test_check_and_the_front_door_agree(tmp_path: Path, pieces: list[str]) -> None:
    """An error is found exactly when the folder does not load, whatever the text is."""
    (tmp_path / "a.cedar").write_text(" ".join(pieces))
    failed = any(finding.severity == ERROR for finding in check(tmp_path))
    try:
        load_policies(tmp_path)
    except PolicyError:
        assert failed
    else:
        assert not failed
