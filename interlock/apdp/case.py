"""One question to the policies, with the answer that it must get."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.apdp.told import context_of
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

# A Wednesday: a case gets the same answer every day.
NOON = 1_704_283_200.0
RESOURCES = frozenset(
    ("Endpoint", "Model", "Tool", "McpServer", "Secret", "Service", "Document", "Database")
)
_REQUIRED = ("name", "principal", "action", "resource", "expect")
_FIELDS = (*_REQUIRED, "service", "secret", "context", "policy")
_ENTITY = re.compile(r'(\w+)::"((?:[^"\\]|\\["\\])*)"')
_HOST = re.compile(r"\[?(.*?)\]?(?::(\d{1,5}))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """A call by an agent for a reason, and what the policies must say to it.

    `context` is complete; an empty `policy` leaves open which policy decides.
    """

    file: str
    name: str
    agent: Agent
    call: Call
    secret: str
    context: Mapping[str, Any]
    expect: Effect
    policy: str


def parse_case(file: str, entry: object) -> Case:
    """Read one case of a file; raises ValueError naming the field."""
    case = _fields(entry, _FIELDS, _REQUIRED)
    agent = _agent(case["principal"])
    said = case.get("context", {})
    call = _call(case, said)
    context = context_of(agent, call, Declaration(), Mode.ENFORCE, NOON)
    for name, value in _fields(said, tuple(context), place="context: ").items():
        if not _same_type(value, context[name]):
            raise ValueError(f"context: {name}: {value!r} has the wrong type")
    return Case(
        file,
        _text(case, "name"),
        agent,
        call,
        _text(case, "secret"),
        context | said,
        _one_of(Effect, case["expect"], "expect"),
        _text(case, "policy"),
    )


def _call(case: Mapping[str, Any], context: object) -> Call:
    resource = parse_entity(_text(case, "resource"))
    named = resource.id if resource.type in ("Endpoint", "Service") else ""
    host = resource.id if resource.type == "Endpoint" else ""
    if isinstance(context, dict):
        host = _text(context, "host") or host
    return Call(
        service=_text(case, "service") or named,
        action=_text(case, "action"),
        resource=resource,
        request=Request("POST", "https", _authority(host), "/"),
        body_sha256=b"",
        model=resource.id if resource.type == "Model" else "",
    )


def parse_entity(text: str) -> Entity:
    """Read a resource as people write it, such as `Model::"gpt-4o"`; raises ValueError."""
    found = _ENTITY.fullmatch(text)
    if not found or found[1] not in RESOURCES:
        raise ValueError(
            f'resource: {text!r} is not TYPE::"id" with one of {", ".join(sorted(RESOURCES))}'
        )
    return Entity(found[1], re.sub(r"\\(.)", r"\1", found[2]))


def _agent(value: object) -> Agent:
    """An agent by its name alone, which nobody vouched for, or with what its registration says."""
    if isinstance(value, str):
        value = {"name": value}
    fields = _fields(value, ("name", "trust", "owner", "groups"), ("name",), "principal: ")
    groups = fields.get("groups", [])
    if not _same_type(groups, []):
        raise ValueError("principal: groups: use a list of texts")
    agent = Agent(
        _text(fields, "name"),
        _text(fields, "owner"),
        tuple(groups),
        _one_of(Trust, fields.get("trust", Trust.UNVERIFIED), "principal: trust"),
    )
    if agent.cut_off:
        raise ValueError(f"principal: a {agent.trust} agent is denied before any policy is asked")
    return agent


def _authority(host: str) -> Authority:
    found = _HOST.fullmatch(host)
    return Authority(found[1], int(found[2] or 443)) if found else Authority(host, 443)


def _fields(
    value: object, known: Sequence[str], required: Sequence[str] = (), place: str = ""
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}use fields: {', '.join(known)}")
    if unknown := [field for field in value if field not in known]:
        raise ValueError(f"{place}{unknown[0]}: unknown field; known: {', '.join(known)}")
    if missing := [field for field in required if not value.get(field)]:
        raise ValueError(f"{place}{missing[0]}: is missing")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is not text; put it in quotes")
    return value


def _one_of[E: (Effect, Trust)](kind: type[E], value: object, field: str) -> E:
    if not isinstance(value, str) or value not in list(kind):
        raise ValueError(f"{field}: {value!r} is not one of {', '.join(kind)}")
    return kind(value)


def _same_type(value: object, default: object) -> bool:
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if isinstance(default, str):
        return isinstance(value, str)
    return type(value) is type(default)
