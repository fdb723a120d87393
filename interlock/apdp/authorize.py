"""One question in the form of `POST /authorize`: principal, action, resource and context.

What the asker says of goal and delegation is taken at its word: it asks, it does not call. Nothing
that it says makes a delegation valid that was not verified, unless it says just that.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cedarpy

from interlock.apdp.case import RESOURCES
from interlock.apdp.context import KINDS, misfit, unwritable
from interlock.apdp.decision_point import Answer, DecisionPoint, ancestors
from interlock.apdp.entities import entities_of_call, line_of, uid
from interlock.apdp.intents import Intents
from interlock.apdp.policies import Policies
from interlock.apdp.standing import Standing, examine
from interlock.apdp.told import context_of
from interlock.errors import PolicyError
from interlock.model import (
    Agent,
    Authority,
    Call,
    Declaration,
    Effect,
    Entity,
    Mode,
    Reason,
    Request,
    Server,
)

# What an agent may say of its own call is what its front door would see; the rest is ours.
_REASON = ("intent", "intent_category", "goal")
_OWN_CALL = ("model", "stream", "tools", "max_tokens", "body_bytes", "method", "host", "path")
BELIEVED = frozenset((*_REASON, *_OWN_CALL))
UNBELIEVED = frozenset(KINDS) - BELIEVED
PRINCIPALS = frozenset(("Agent", "User", "Group", "Service"))
_FIELDS = ("principal", "action", "resource", "context")
_ENTITY = re.compile(r'(\w+)::"((?:[^"\\]|\\["\\])*)"', re.ASCII)
_BARE = re.compile(r"\w+", re.ASCII)
LONGEST = 1024
MOST_LINKS = 64


class QuestionError(PolicyError):
    """A question that cannot be put to the policies; the message names the field."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was read; `said` holds only the attributes that the asker gave."""

    principal: Entity
    action: str
    resource: Entity
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer: how it was reached, over how many policies, in how many microseconds."""

    effect: Effect
    reasons: tuple[Reason, ...]
    evaluated: int
    applicable: int
    micros: int

    def as_json(self) -> dict[str, Any]:
        """The answer on the wire. What waits for a person is not allowed, so it is a `deny`."""
        return {
            "decision": "allow" if self.effect is Effect.ALLOW else "deny",
            "reasons": [
                {"policy_id": reason.policy_id, "description": reason.description}
                for reason in self.reasons
            ],
            "diagnostics": {
                "policies_evaluated": self.evaluated,
                "policies_applicable": self.applicable,
                "evaluation_time_ms": self.micros / 1000,
            },
        }


def read_question(body: object) -> Asked:
    """Read the body of a question; raises QuestionError naming the field."""
    if not isinstance(body, dict):
        raise QuestionError(f"the body must be an object with {', '.join(_FIELDS)}")
    if unknown := [name for name in body if name not in _FIELDS]:
        raise QuestionError(f"{unknown[0][:40]!r}: unknown field; known: {', '.join(_FIELDS)}")
    principal = _entity(body, "principal", PRINCIPALS)
    resource = _entity(body, "resource", RESOURCES)
    return Asked(principal, _action(body), resource, _said(body.get("context"), principal))


def authorize(
    asked: Asked,
    policies: Policies,
    intents: Intents,
    agent: Agent | None,
    *,
    mode: Mode,
    now: float,
    server: Server | None = None,
    standing: Standing | None = None,
) -> Ruling:
    """Ask the policies; `agent` is what the registry knows of a principal that is one.

    `server` is what it knows of a resource that is an MCP server. `standing` is what the records
    say of goal and delegation: with it, nothing that the asker says of these is believed.

    Raises QuestionError for a value or an action that the schema has no place for.
    """
    started = time.perf_counter_ns()
    known = agent or Agent(asked.principal.id)
    if standing:
        said = {name: value for name, value in asked.said.items() if name not in UNBELIEVED}
        asked = replace(asked, said=said)
    answer = _judge(asked, policies, intents, known, server, standing, mode, now)
    micros = (time.perf_counter_ns() - started) // 1000
    return Ruling(answer.effect, answer.reasons, answer.considered, answer.applicable, micros)


def _judge(
    asked: Asked,
    policies: Policies,
    intents: Intents,
    agent: Agent,
    server: Server | None,
    standing: Standing | None,
    mode: Mode,
    now: float,
) -> Answer:
    if asked.action not in policies.action_names:
        raise QuestionError(f"action: {asked.action[:80]!r} is no action of the schema")
    is_agent = asked.principal.type == "Agent"
    if is_agent and agent.name != asked.principal.id:
        raise QuestionError(f"principal: {asked.principal} is not the agent {agent.name!r}")
    call, declared = replace(_call(asked), server=server), _declared(asked, agent)
    groups = _groups_of(asked, policies, declared)
    # Who is believed says how goal and delegation stand, so these are not looked at here.
    meant = declared if standing else replace(declared, goal="")
    why, objection = examine(agent, call, groups, meant, standing or Standing(), intents, now)
    if not standing:
        why = replace(why, actors=(str(asked.principal),))
    context = context_of(agent, call, declared, mode, now, why) | dict(asked.said)
    # Only the registry knows how far an agent is vouched for, and only we know what time it is.
    context["now"] = int(now)
    context["trust"] = str(agent.trust) if is_agent else ""
    if wrong := misfit(context, asked.resource):
        raise QuestionError(wrong)
    if is_agent and agent.cut_off:
        return _denied(Reason(f"agent-{agent.state}", f"{agent.name} is cut off"))
    if server and server.cut_off:
        return _denied(Reason(f"server-{server.state}", f"the server {server.name} is cut off"))
    if objection:
        return _denied(objection.reason)
    return _ask(asked, policies, agent, call, context)


def _ask(
    asked: Asked, policies: Policies, agent: Agent, call: Call, context: dict[str, Any]
) -> Answer:
    groups = agent.groups if asked.principal.type == "Agent" else ()
    who = (asked.principal, *(Entity("Group", name) for name in groups))
    line = line_of(asked.resource, call.service, call.server)
    chosen = policies.select(who, ((asked.action, line),))
    question = {
        "principal": uid(asked.principal),
        "action": uid(Entity("Action", asked.action)),
        "resource": uid(asked.resource),
        "context": json.dumps(chosen.needed(context)),
    }
    try:
        entities = policies.actions.with_added_json_str(json.dumps(_entities(asked, agent, call)))
        (result,) = cedarpy.is_authorized_batch([question], chosen.handle, entities)
    except ValueError as e:
        return _denied(Reason("engine", f"could not evaluate: {e}"[:200]))
    return DecisionPoint(policies).answer_of(result, len(chosen.ids))


def _entities(asked: Asked, agent: Agent, call: Call) -> list[dict[str, Any]]:
    """The agent as the registry knows it, or a principal of which nothing is known."""
    found = entities_of_call(agent, call, "")
    if asked.principal.type == "Agent":
        return found
    attributes = {"owner": ""} if asked.principal.type == "User" else {}
    principal = {"uid": uid(asked.principal), "attrs": attributes, "parents": []}
    others = [entity for entity in found[1:] if entity["uid"]["type"] != "Group"]
    return [principal, *(entity for entity in others if entity["uid"] != principal["uid"])]


def _call(asked: Asked) -> Call:
    resource = asked.resource
    host = asked.said.get("host", resource.id if resource.type == "Endpoint" else "")
    return Call(
        service=resource.id if resource.type in ("Endpoint", "Service") else "",
        action=asked.action,
        resource=resource,
        request=Request("POST", "https", Authority(str(host), 443), "/"),
        body_sha256=b"",
        model=resource.id if resource.type == "Model" else "",
    )


def _declared(asked: Asked, agent: Agent) -> Declaration:
    """What the question says, and for an agent what its registration says where it is silent."""
    said = asked.said
    known = agent if asked.principal.type == "Agent" else Agent("")
    return Declaration(
        said.get("intent", known.intent),
        said.get("intent_category", known.intent_category),
        said.get("goal", known.goal),
    )


def _groups_of(asked: Asked, policies: Policies, declared: Declaration) -> frozenset[str]:
    """The ancestors of the action; raises QuestionError for a reason that is no text."""
    for name in _REASON:
        if not isinstance(getattr(declared, name), str):
            raise QuestionError(f"context.{name}: is not a text")
    return ancestors(policies)[asked.action]


def _denied(reason: Reason) -> Answer:
    return Answer(Effect.DENY, (reason,))


def _entity(body: Mapping[str, Any], field: str, types: frozenset[str]) -> Entity:
    """Read `Type::"id"` or `{"type": ..., "id": ...}`."""
    value = body.get(field)
    wanted = f'{field}: use TYPE::"id" with one of {", ".join(sorted(types))}'
    match value:
        case {"type": str(type_), "id": str(id_), **other} if not other:
            found = Entity(type_, id_)
        case str() if len(value) <= 2 * LONGEST and (match := _ENTITY.fullmatch(value)):
            found = Entity(match[1], re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL))
        case _:
            raise QuestionError(wanted)
    if found.type not in types or not 0 < len(found.id) <= LONGEST or unwritable(found.id):
        raise QuestionError(wanted)
    return found


def _action(body: Mapping[str, Any]) -> str:
    """Read an action, which may also be its bare name."""
    value = body.get("action")
    if isinstance(value, str) and len(value) <= LONGEST and _BARE.fullmatch(value):
        return value
    try:
        return _entity(body, "action", frozenset(("Action",))).id
    except QuestionError:
        raise QuestionError('action: use Action::"chat" or chat') from None


def _said(context: object, principal: Entity) -> dict[str, Any]:
    """Read the context; a `delegation_chain` becomes what policies know of a delegation."""
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise QuestionError("context: use an object")
    said = dict(context)
    chain = said.pop("delegation_chain", None)
    return _chain(chain, principal) | said if chain else said


def _chain(chain: object, principal: Entity) -> dict[str, Any]:
    """Depth, origin and actors of a chain that nobody signed: it is not a valid one."""
    if not isinstance(chain, list) or len(chain) > MOST_LINKS:
        raise QuestionError(f"context.delegation_chain: use a list of {MOST_LINKS} links at most")
    actors: list[str] = []
    for number, link in enumerate(chain):
        match link:
            case {"from": str(giver), "to": str(taker)} if not actors or actors[-1] == giver:
                actors += [taker] if actors else [giver, taker]
            case _:
                raise QuestionError(
                    f"context.delegation_chain[{number}]: use from and to, from the last one's to"
                )
    if actors[-1] not in (str(principal), principal.id):
        raise QuestionError("context.delegation_chain: does not lead to the principal")
    return {"delegation_depth": len(chain), "delegated_by": actors[0], "actor_chain": actors}
