"""Policies that cannot matter: they never apply, or others always answer before them.

Only what is certain is told. A policy errs on the way to an answer that it would not give, and an
erring `forbid` holds; so nothing is said of a forbid that could err.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any

from cedarpy import pst

from interlock.apdp.context import KINDS
from interlock.apdp.selection import Line
from interlock.model import Entity, Trust
from interlock.store.goals import Status

type Parts = frozenset[pst.Clause]
type Scope = tuple[object, object, object]

# What cannot err, whatever it is applied to; arithmetic overflows, extensions may not parse.
_SAFE_OPERATORS = frozenset(("and", "or", "not", "eq", "not_eq", "in"))
_SAFE_NODES = (pst.When, pst.Unless, pst.Var, pst.StringLit, pst.LongLit, pst.BoolLit)


@dataclass(frozen=True, slots=True)
class Standpoint:
    """One policy with what decides whether another covers it."""

    id: str
    body: pst.Template
    effect: tuple[str, str]
    parts: Parts

    @property
    def forbids(self) -> bool:
        """True for a forbid."""
        return bool(self.body.effect == "forbid")


def standpoint(id_: str, body: pst.Template) -> Standpoint:
    """Read a policy of the engine; raises RecursionError for one that is nested too deeply."""
    notes = body.annotations
    effect = (notes.get("effect") or "", notes.get("timeout") or "60s")
    parts = frozenset(part for clause in body.clauses for part in parts_of(clause))
    return Standpoint(id_, body, effect, parts)


def parts_of(clause: pst.Clause) -> Iterator[pst.Clause]:
    """Split `when { a && b }` and `unless { a || b }`: each part has to hold by itself."""
    joined = "and" if isinstance(clause, pst.When) else "or"
    match clause.expr:
        case pst.BinaryOp(op=op, left=left, right=right) if op == joined:
            yield from parts_of(replace(clause, expr=left))
            yield from parts_of(replace(clause, expr=right))
        case _:
            yield clause


def contradiction(policy: Standpoint) -> str:
    """Say which expression would have to equal two different things; empty when none does."""
    wanted: dict[pst.Expr, pst.Expr] = {}
    for slot in ("principal", "action", "resource"):
        match getattr(policy.body, slot):
            case pst.ScopeEq(entity=pst.EntityUid() as entity) | pst.ActionEq(entity=entity):
                wanted[pst.Var(slot)] = pst.EntityLit(entity)
    for part in policy.parts:
        for left, right in _equal(part):
            if wanted.setdefault(left, right) != right:
                return f"{_name(left)} cannot be two things at once"
    return ""


def cannot_err(policy: Standpoint) -> bool:
    """True when the conditions hold or do not hold, whatever the values are."""
    return all(_safe(part) for part in policy.parts)


def shadows(policies: list[Standpoint], actions: Mapping[str, Line]) -> Iterator[tuple[str, str]]:
    """Yield the id of each policy without which all stays the same, and why."""
    order = {policy.id: number for number, policy in enumerate(policies)}
    index: dict[Scope, list[Standpoint]] = defaultdict(list)
    for policy in policies:
        for scope in _scopes(policy.body):
            index[scope].append(policy)
    for policy in policies:
        covering = _covering(policy, index, actions)
        for other in sorted(covering, key=lambda other: order[other.id]):
            mutual = policy in _covering(other, index, actions)
            if said := _said(policy, other, mutual and order[other.id] > order[policy.id]):
                yield policy.id, said
                break


def unknown_words(policy: Standpoint, categories: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield attribute, value and kind for each comparison with a word that never occurs."""
    words = {
        "intent_category": categories | {""},
        "goal_status": frozenset(Status) | {"None"},
        "trust": frozenset(Trust),
    }
    for part in policy.parts:
        for attribute, value in _compared(part):
            if attribute in words and value not in words[attribute]:
                yield attribute, value, ", ".join(sorted(words[attribute] - {""}))


def _covering(
    policy: Standpoint, index: Mapping[Scope, list[Standpoint]], actions: Mapping[str, Line]
) -> list[Standpoint]:
    """The policies that hold whenever this one does."""
    found: dict[str, Standpoint] | None = None
    for scope in _scopes(policy.body):
        principal, action, resource = (_wider(constraint, actions) for constraint in scope)
        wider = {
            other.id: other
            for key in product(principal, action, resource)
            for other in index.get(key, ())
            if other.parts <= policy.parts
        }
        found = wider if found is None else {i: p for i, p in found.items() if i in wider}
    return [other for other in (found or {}).values() if other.id != policy.id]


def _said(policy: Standpoint, other: Standpoint, comes_first: bool) -> str:
    if policy.forbids and not other.forbids:
        return ""
    if other.forbids and not policy.forbids:
        return (
            ""
            if other.effect[0]
            else f"never permits anything: {other.id!r} forbids all that it covers"
        )
    if comes_first or policy.effect != other.effect:
        return ""
    certain = not other.parts or other.parts == policy.parts or cannot_err(policy)
    if policy.forbids and not certain:
        return ""
    return f"changes nothing: {other.id!r} covers all that it does"


def _scopes(body: pst.Template) -> Iterator[Scope]:
    """Each combination that is enough for the scope to fit; a list of actions is many."""
    actions: list[object] = [body.action]
    if isinstance(body.action, pst.ActionIn):
        actions = [pst.ScopeIn(entity) for entity in body.action.entities]
    elif isinstance(body.action, pst.ActionEq):
        actions = [pst.ScopeEq(body.action.entity)]
    for action in actions:
        yield body.principal, action, body.resource


def _wider(constraint: object, actions: Mapping[str, Line]) -> set[object]:
    """Every constraint that surely holds when this one does, itself among them."""
    found = {constraint, pst.ScopeAny()}
    match constraint:
        case pst.ScopeEq(entity=pst.EntityUid() as entity):
            found |= {pst.ScopeIs(entity.type), pst.ScopeIn(entity)}
            found |= _groups(entity, actions)
        case pst.ScopeIn(entity=pst.EntityUid() as entity):
            found |= _groups(entity, actions)
        case pst.ScopeIsIn(entity_type=type_, entity=entity):
            found |= {pst.ScopeIs(type_), pst.ScopeIn(entity)}
    return found


def _groups(entity: pst.EntityUid, actions: Mapping[str, Line]) -> set[object]:
    if str(entity.type.basename) != "Action" or entity.type.namespace:
        return set()
    _, *groups = actions.get(entity.id, (Entity("Action", entity.id),))
    return {pst.ScopeIn(pst.EntityUid(entity.type, group.id)) for group in groups}


def _equal(part: pst.Clause) -> Iterator[tuple[pst.Expr, pst.Expr]]:
    """Yield what a part says to be equal to a literal."""
    if not isinstance(part, pst.When):
        return
    match part.expr:
        case pst.BinaryOp(op="eq", left=left, right=right):
            for one, other in ((left, right), (right, left)):
                if _literal(other) and not _literal(one):
                    yield one, other


def _literal(node: object) -> bool:
    return isinstance(node, pst.StringLit | pst.LongLit | pst.BoolLit | pst.EntityLit)


def _compared(node: object) -> Iterator[tuple[str, str]]:
    """Yield each attribute of the context or the principal with a text it is held against."""
    match node:
        case pst.BinaryOp(op="eq" | "not_eq", left=left, right=pst.StringLit(value=value)):
            yield from _attribute(left, value)
        case pst.BinaryOp(op="eq" | "not_eq", left=pst.StringLit(value=value), right=right):
            yield from _attribute(right, value)
        case pst.BinaryOp(op="contains", left=pst.Set(elements=elements), right=right):
            for element in elements:
                if isinstance(element, pst.StringLit):
                    yield from _attribute(right, element.value)
    for child in _children(node):
        yield from _compared(child)


def _attribute(node: object, value: str) -> Iterator[tuple[str, str]]:
    match node:
        case pst.GetAttr(base=pst.Var(name="context"), attr=name):
            yield name, value
        case pst.GetAttr(base=pst.Var(name="principal"), attr="trust"):
            yield "trust", value


def _safe(node: Any) -> bool:
    match node:
        case pst.BinaryOp(op=op) | pst.UnaryOp(op=op) if op not in _SAFE_OPERATORS:
            return False
        case pst.BinaryOp() | pst.UnaryOp() | pst.Is() | pst.When() | pst.Unless():
            return all(map(_safe, _children(node)))
        case pst.GetAttr(base=pst.Var(name="context"), attr=name):
            return name in KINDS
        case _:
            return isinstance(node, _SAFE_NODES)


def _children(node: object) -> Iterator[object]:
    if is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            value = getattr(node, field.name)
            yield from value if isinstance(value, tuple) else (value,)
            if isinstance(value, Mapping):
                yield from value.values()


def _name(node: object) -> str:
    match node:
        case pst.GetAttr(base=base, attr=attr):
            return f"{_name(base)}.{attr}"
        case pst.Var(name=name):
            return str(name)
    return "an expression"
