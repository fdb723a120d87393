"""Selecting: the policies that can apply answer like all of them, and no others are looked at."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.apdp import load_policies, selection
from interlock.apdp.policies import shipped
from interlock.apdp.selection import Index, Line, Question, Selection, action_lines
from interlock.errors import PolicyError
from interlock.model import Entity

type Bodies = dict[str, dict[str, Any]]
type Parents = dict[Entity, list[Entity]]

THINGS = [Entity(type_, id_) for type_ in ("Agent", "Group", "Model") for id_ in ("a", "b", 'c"\n')]
ACTIONS = [Entity("Action", name) for name in ("chat", "embed", "execute", "anything")]
STRANGER = Entity("Agent", "nobody declared it")
CONDITIONS = [
    "",
    "when { true }",
    "when { false }",
    "when { context.n > 1 }",
    "unless { context.n > 1 }",
    "when { context.absent }",
    "when { principal.rank * context.n > 1 }",
    'when { principal in Group::"a" || resource in Group::"b" }',
    "when { context has absent || context has n }",
    "when { context == {n: 4611686018427387904} }",
    "when { true } unless { [1, context.n].contains(2) }",
    "when { {all: context}.all.n > 1 && [context].contains({n: 1}) }",
    "unless { context.deep.er == 1 && context has deep.est }",
    'when { resource.owner == principal } unless { action in Action::"execute" }',
]
CONTEXT = {"n": 2**62, "deep": {"er": 1}, "unread": "text"}


def uid(entity: Entity) -> dict[str, str]:
    return {"type": entity.type, "id": entity.id}


def parse(text: str) -> Bodies:
    """Policies in Cedar's JSON form, by ids with a quote in them."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    return {f'{id_}"': body for id_, body in parsed.items()}


def handle_of(bodies: Mapping[str, Any]) -> cedarpy.PolicySet:
    """All of them, without selection."""
    whole = {"staticPolicies": bodies, "templates": {}, "templateLinks": []}
    return cedarpy.PolicySet.from_json_str(json.dumps(whole))


def line(entity: Entity, parents: Parents) -> Line:
    """The entity and all its ancestors."""
    above = [one for parent in parents.get(entity, ()) for one in line(parent, parents)]
    return (entity, *dict.fromkeys(above))


def declared(parents: Parents) -> list[dict[str, Any]]:
    """As Cedar wants to be told; every other entity has the attributes that conditions read."""
    return [
        {
            "uid": uid(entity),
            "attrs": {"rank": 2, "owner": "me"} if number % 2 else {},
            "parents": [uid(parent) for parent in above],
        }
        for number, (entity, above) in enumerate(parents.items())
    ]


def ask(
    handle: cedarpy.PolicySet,
    entities: cedarpy.Entities,
    who: Line,
    questions: Iterable[Question],
    context: dict[str, Any] = CONTEXT,
) -> list[cedarpy.AuthzResult]:
    requests = [
        {
            "principal": uid(who[0]),
            "action": {"type": "Action", "id": action},
            "resource": uid(resource[0]),
            "context": json.dumps(context),
        }
        for action, resource in questions
    ]
    return cedarpy.is_authorized_batch(requests, handle, entities)


def told(result: cedarpy.AuthzResult) -> tuple[object, ...]:
    """Everything that an answer says, in an order that does not depend on the set."""
    said = result.diagnostics
    return (
        result.decision,
        sorted(said.reasons),
        sorted(said.errors),
        said.id_annotations_by_reason,
    )


@st.composite
def hierarchies(draw: st.DrawFn, entities: list[Entity]) -> Parents:
    """Who is in what: any number of levels and parents, no circles."""
    return {
        entity: draw(st.lists(st.sampled_from(above), unique=True, max_size=3)) if above else []
        for entity, above in ((e, entities[n + 1 :]) for n, e in enumerate(entities))
    }


@st.composite
def policies(draw: st.DrawFn) -> str:
    """One policy with any scope, about a few things only, so that many of them meet."""
    thing, action = st.sampled_from(THINGS), st.sampled_from(ACTIONS)
    form = st.sampled_from(["{0}", "{0} == {1}", "{0} in {1}", "{0} is {2}", "{0} is {2} in {1}"])

    def slot(name: str) -> str:
        return draw(form).format(name, cedar(draw(thing)), draw(thing).type)

    actions = ", ".join(map(cedar, draw(st.lists(action, max_size=3))))
    one = cedar(draw(action))
    doing = draw(
        st.sampled_from(
            ["action", f"action == {one}", f"action in {one}", f"action in [{actions}]"]
        )
    )
    note = draw(st.sampled_from(["", '@id("x") ', '@description("y") @id("z") ']))
    effect = draw(st.sampled_from(["permit", "forbid"]))
    scope = f"{slot('principal')}, {doing}, {slot('resource')}"
    return f"{note}{effect}({scope}) {draw(st.sampled_from(CONDITIONS))};"


def cedar(entity: Entity) -> str:
    return f"{entity.type}::{json.dumps(entity.id)}"


@settings(deadline=None, max_examples=300)
@given(
    texts=st.lists(policies(), max_size=30),
    things=hierarchies(THINGS),
    actions=hierarchies(ACTIONS),
    principal=st.sampled_from([*THINGS, STRANGER]),
    asked=st.lists(
        st.tuples(
            st.sampled_from([*(action.id for action in ACTIONS), "unknown"]),
            st.sampled_from([*THINGS, STRANGER]),
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_answers_like_the_full_set(
    texts: list[str],
    things: Parents,
    actions: Parents,
    principal: Entity,
    asked: list[tuple[str, Entity]],
) -> None:
    """Decision, determining policies and errors are the same; exactly what can apply is looked at.

    What can apply is what the engine itself applies once effects and conditions are taken away.
    """
    bodies = parse("".join(texts))
    known = cedarpy.Entities.from_json_str(json.dumps(declared(actions)))
    lines = action_lines(known)
    entities = known.with_added_json_str(json.dumps(declared(things)))
    who = line(principal, things)
    questions = tuple((action, line(resource, things)) for action, resource in asked)

    selected = Selection(bodies, lines).select(who, questions)
    full = ask(handle_of(bodies), entities, who, questions)
    answers = ask(selected.handle, entities, who, questions, selected.needed(CONTEXT))
    assert list(map(told, answers)) == list(map(told, full))

    bare = {id_: body | {"effect": "permit", "conditions": []} for id_, body in bodies.items()}
    scopes = ask(handle_of(bare), entities, who, questions)
    applying = {id_ for result in scopes for id_ in result.diagnostics.reasons}
    assert selected.ids == applying
    assert len(selected.handle) == len(applying)


MODELS = "".join(f'permit(principal, action, resource == Model::"{n}");' for n in range(20))
ANN: Line = (Entity("Agent", "ann"), Entity("Group", "research"))


def chat(model: object) -> tuple[Question, ...]:
    return (("chat", (Entity("Model", str(model)),)),)


def test_shapes_that_need_the_same_policies_share_a_handle() -> None:
    """However many models an agent makes up, nothing is parsed for them twice."""
    chosen = Selection(parse(MODELS), {})
    unknown = {id(chosen.select(ANN, chat(f"made up {n}"))) for n in range(100)}
    assert len(unknown) == 1
    assert chosen.select(ANN, chat(7)) is chosen.select(ANN, chat(7))


def test_two_questions_are_not_mixed() -> None:
    """A policy on the action of one and the resource of the other can apply to neither."""
    text = 'permit(principal, action == Action::"access_secret", resource is Model);'
    questions = (*chat(1), ("access_secret", (Entity("Secret", "key"),)))
    assert Selection(parse(text), {}).select(ANN, questions).ids == frozenset()


def test_forgets_what_was_not_used_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more policies are held than there is room for, and what is used stays."""
    monkeypatch.setattr(selection, "ROOM", 3)
    chosen = Selection(parse(MODELS), {})
    used = chosen.select(ANN, chat(0))
    forgotten = chosen.select(ANN, chat(1)).handle
    for model in range(2, 20):
        assert len(chosen.select(ANN, chat(model)).ids) == 1
        assert chosen.select(ANN, chat(0)) is used
    assert chosen.select(ANN, chat(1)).handle is not forgotten


def test_what_is_still_in_use_elsewhere_can_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds a selection keeps it; asked for again, it is taken up again."""
    monkeypatch.setattr(selection, "ROOM", 1)
    chosen = Selection(parse(MODELS), {})
    held = chosen.select(ANN, chat(1))
    chosen.select(ANN, chat(2))
    assert chosen.select(ANN, chat(1)) is held
    assert chosen.select(ANN, chat(1)) is held


def test_holds_one_set_that_is_larger_than_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound never stands in the way of an answer."""
    monkeypatch.setattr(selection, "ROOM", 3)
    chosen = Selection(parse("permit(principal, action, resource);" * 5), {})
    assert len(chosen.select(ANN, chat(0)).handle) == 5
    assert chosen.select(ANN, chat(0)) is chosen.select(ANN, chat(1))


def test_a_flood_of_shapes_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of shapes starts again when it is full; the handles stay."""
    monkeypatch.setattr(selection, "SHAPES", 4)
    chosen = Selection(parse(MODELS), {})
    before = chosen.select(ANN, chat(0))
    assert [len(chosen.select(ANN, chat(n)).ids) for n in range(15, 30)] == [1] * 5 + [0] * 10
    assert chosen.select(ANN, chat(0)) is before


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({"op": "like", "pattern": "x"}, id="an operator of a later Cedar"),
        pytest.param({"op": "==", "slot": "?principal"}, id="an open slot"),
        pytest.param({"op": "in", "entity": {"__entity": {}}}, id="another form of entity"),
    ],
)
def test_a_scope_that_is_not_understood_is_never_left_out(scope: dict[str, Any]) -> None:
    """Evaluating too much is only slow."""
    (body,) = parse("permit(principal, action, resource);").values()
    index = Index({"odd": body | {"principal": scope}}, {})
    assert index.fitting(ANN, chat(1)) == {"odd"}


def test_an_action_is_known_with_all_the_groups_above_it() -> None:
    """Groups of groups too, as a schema has them."""
    schema = cedarpy.Schema.from_str("action top; action mid in [top]; action low in [mid];")
    lines = action_lines(cedarpy.Entities.from_json_str("[]", schema))
    assert lines["low"][0] == Entity("Action", "low")
    assert {action.id for action in lines["low"]} == {"low", "mid", "top"}


def test_a_loaded_set_selects_by_the_groups_of_its_schema() -> None:
    """`chat` is in `execute`, so of the shipped policies the one on deleting is left out."""
    policies = load_policies(shipped())
    deletion = (("delete_file", (Entity("Service", "openai"),)),)
    of_models = {"trusted-agents-use-models", "trusted-agents-use-trusted-servers"}
    assert policies.select(ANN, chat("gpt-4o")).ids == of_models
    assert policies.select(ANN, deletion).ids == {"deleting-is-administration"}


def test_an_observed_policy_is_not_selected(tmp_path: Path) -> None:
    """It is not part of the live set."""
    live = "permit(principal, action, resource);"
    (tmp_path / "a.cedar").write_text(f'{live} @effect("observe") {live}')
    assert len(load_policies(tmp_path).select(ANN, chat(1)).ids) == 1


def test_a_chain_too_long_for_the_engine_is_refused_and_named(tmp_path: Path) -> None:
    """Cedar's JSON can be nested 128 deep, and each `||` nests."""
    chain = " || ".join(f"context.hour == {n}" for n in range(60))
    (tmp_path / "a.cedar").write_text(
        f'@id("long") permit(principal, action, resource) when {{ {chain} }};'
    )
    with pytest.raises(PolicyError, match="'long': too many operators in a row"):
        load_policies(tmp_path)


@pytest.mark.parametrize(
    ("condition", "needed"),
    [
        pytest.param("when { true }", set(), id="no use of the context"),
        pytest.param("when { context.a == 1 } unless { context has b }", {"a", "b"}, id="by name"),
        pytest.param('when { context["a"].b.c == 1 }', {"a"}, id="what lies deeper comes along"),
        pytest.param("when { context has a.b.c }", {"a"}, id="has, deeper"),
        pytest.param("when { context == {a: 1} }", {"a", "b", "c"}, id="the whole context"),
        pytest.param("when { {x: context}.x has a }", {"a", "b", "c"}, id="handed on whole"),
        pytest.param(
            "when { (if true then context else context) has a }", {"a", "b", "c"}, id="if"
        ),
        pytest.param('when { "context.a" == "b" }', set(), id="only a string"),
        pytest.param("when { context.a" + " + 1" * 50 + " > 0 }", {"a"}, id="far down"),
    ],
)
def test_only_what_policies_read_of_the_context_is_needed(condition: str, needed: set[str]) -> None:
    """And all of it as soon as that cannot be told."""
    chosen = Selection(parse(f"permit(principal, action, resource) {condition};"), {})
    context = {"a": 1, "b": 2, "c": 3}
    assert chosen.select(ANN, chat(1)).needed(context) == {name: context[name] for name in needed}
