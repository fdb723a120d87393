"""Of many policies only those that can apply are evaluated, and the answer stays the same.

Cedar evaluates the scope of a policy, `permit(principal ..., action ..., resource ...)`, before its
conditions, and a scope cannot err. So a policy whose scope does not fit gives neither a reason nor
an error: the set without it answers alike. Nor does an attribute of the context matter that no
policy reads. (https://docs.cedarpolicy.com/auth/authorization.html)
"""

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from weakref import WeakValueDictionary

import cedarpy

from interlock.model import Entity

# Policies in Cedar's JSON form, by their ids.
type Bodies = Mapping[str, Mapping[str, Any]]
# An entity, followed by everything that it is in, directly or not.
type Line = tuple[Entity, ...]
# The name of an action, and the resource.
type Question = tuple[str, Line]
# What a scope asks of the principal, the action or the resource: an operator and its operands.
type Constraint = tuple[str, ...]
type Scope = tuple[Constraint, ...]

SLOTS = ("principal", "action", "resource")
ANYTHING: Constraint = ("All",)
# Bounds: remembered shapes of requests, and policies in all handles (about 7 KB each).
SHAPES = 4096
ROOM = 20_000


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Selected:
    """The policies that can apply to some requests, and the engine handle that holds only them.

    `reads` names the attributes of the context that they look at; None means any of them.
    """

    ids: frozenset[str]
    handle: cedarpy.PolicySet
    reads: frozenset[str] | None

    def needed(self, context: dict[str, Any]) -> dict[str, Any]:
        """The part of a context that can matter to these policies."""
        if self.reads is None:
            return context
        return {name: value for name, value in context.items() if name in self.reads}


class Index:
    """Finds the policies whose scope fits a request, without looking at the others."""

    def __init__(self, bodies: Bodies, actions: Mapping[str, Line]) -> None:
        """Read the scopes; `actions` has a line for each name."""
        self._actions = actions
        self._policies: dict[Scope, list[str]] = defaultdict(list)
        for id_, body in bodies.items():
            for scope in product(*(_asked(body[slot]) for slot in SLOTS)):
                self._policies[scope].append(id_)
        self._asked = [{scope[slot] for scope in self._policies} for slot in range(len(SLOTS))]

    def fitting(self, principal: Line, questions: Iterable[Question]) -> frozenset[str]:
        """The ids of the policies whose scope fits at least one of the questions."""
        found: set[str] = set()
        for name, resource in questions:
            action = self._actions.get(name) or (Entity("Action", name),)
            met = map(_met, (principal, action, resource))
            for scope in product(*map(set.intersection, met, self._asked)):
                found.update(self._policies.get(scope, ()))
        return frozenset(found)


class Selection:
    """The selected policies by shape of request; what was not used for longest is forgotten.

    `whole` is the handle with all the policies.
    """

    def __init__(self, bodies: Bodies, actions: Mapping[str, Line]) -> None:
        """Index the policies; `actions` has a line for each name."""
        self._index = Index(bodies, actions)
        self._texts = {id_: f"{json.dumps(id_)}:{json.dumps(body)}" for id_, body in bodies.items()}
        self._reads = {id_: frozenset(_read(body["conditions"])) for id_, body in bodies.items()}
        # Off the global lock: a front door that takes up a new set goes on serving meanwhile.
        self.whole = cedarpy.PolicySet.from_json_str(self.document(self._texts), release_gil=True)
        self._sets: OrderedDict[frozenset[str], Selected] = OrderedDict()
        self._held = 0
        # A shape lasts as long as the set that it leads to; many shapes lead to the same one.
        self._shapes: WeakValueDictionary[object, Selected] = WeakValueDictionary()
        self._lock = threading.Lock()

    def select(self, principal: Line, questions: tuple[Question, ...]) -> Selected:
        """Exactly the policies that can apply to any of the questions.

        The lines must name every ancestor that the engine is told of.
        """
        shape = (principal, questions)
        with self._lock:
            selected = self._shapes.get(shape)
            if selected is None:
                ids = self._index.fitting(principal, questions)
                selected = self._sets.get(ids) or self._load(ids)
                self._remember(shape, selected)
            self._keep(selected)
            return selected

    def _remember(self, shape: object, selected: Selected) -> None:
        if len(self._shapes) >= SHAPES:
            self._shapes.clear()
        self._shapes[shape] = selected

    def _keep(self, selected: Selected) -> None:
        if selected.ids not in self._sets:
            self._sets[selected.ids] = selected
            self._held += len(selected.ids)
        self._sets.move_to_end(selected.ids)
        while self._held > ROOM and len(self._sets) > 1:
            forgotten, _ = self._sets.popitem(last=False)
            self._held -= len(forgotten)

    def _load(self, ids: frozenset[str]) -> Selected:
        whole = len(ids) == len(self._texts)
        handle = self.whole if whole else cedarpy.PolicySet.from_json_str(self.document(ids))
        reads = {name for id_ in ids for name in self._reads[id_]}
        names = frozenset(name for name in reads if name is not None)
        return Selected(ids, handle, None if None in reads else names)

    def reads(self, id_: str) -> frozenset[str]:
        """The attributes of the context that a policy names."""
        return frozenset(name for name in self._reads[id_] if name is not None)

    def document(self, ids: Iterable[str]) -> str:
        """Some of the policies, as Cedar's JSON."""
        policies = ",".join(self._texts[id_] for id_ in ids)
        return f'{{"staticPolicies":{{{policies}}},"templates":{{}},"templateLinks":[]}}'


def action_lines(actions: cedarpy.Entities) -> dict[str, Line]:
    """The line of every action of a schema, by its name."""
    return {
        # The engine prints all ancestors as parents, not only the nearest.
        action["uid"]["id"]: tuple(map(_entity, [action["uid"], *action["parents"]]))
        for action in json.loads(str(actions))
    }


def _entity(uid: Mapping[str, str]) -> Entity:
    return Entity(uid["type"], uid["id"])


def _asked(scope: Mapping[str, Any]) -> list[Constraint]:
    """Read one third of a scope: meeting any of the constraints is enough.

    What is not understood counts as met by anything: too many policies are only slow.
    """
    match scope:
        case {"op": "==" | "in" as op, "entity": {"type": str(type_), "id": str(id_)}}:
            return [(op, type_, id_)]
        case {"op": "in", "entities": [*entities]}:
            return [("in", entity["type"], entity["id"]) for entity in entities]
        case {"op": "is", "entity_type": str(is_), "in": {"entity": {"type": type_, "id": id_}}}:
            return [("is in", is_, type_, id_)]
        case {"op": "is", "entity_type": str(is_)}:
            return [("is", is_)]
    return [ANYTHING]


def _met(line: Line) -> set[Constraint]:
    """Every constraint that an entity meets."""
    entity = line[0]
    met = {ANYTHING, ("==", entity.type, entity.id), ("is", entity.type)}
    for ancestor in line:
        met.add(("in", ancestor.type, ancestor.id))
        met.add(("is in", entity.type, ancestor.type, ancestor.id))
    return met


def _read(conditions: Any) -> Iterator[str | None]:
    """Yield each attribute of the context that conditions name, and None for a use of it all."""
    waiting = [conditions]
    while waiting:
        match waiting.pop():
            case {".": {"left": {"Var": "context"}, "attr": str(name)}} | {
                "has": {"left": {"Var": "context"}, "attr": str(name)}
            }:
                yield name
            case {"Var": "context"}:
                yield None
            case dict() as node:
                waiting += node.values()
            case list() as nodes:
                waiting += nodes
