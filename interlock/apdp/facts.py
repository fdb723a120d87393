"""What a decision was told beside what its row says anyway, as JSON values and back.

What is empty is left out. Nothing in it is secret, a prompt, or the value of an argument.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from interlock.apdp.standing import Standing, unexplained
from interlock.delegation import ANY, Chain, Link, Scope, parse_holder
from interlock.delegation.scope import LATEST
from interlock.model import NO_GOAL, Agent, Call, Decision, Health, Server, Trust, Why
from interlock.store.goals import Goal, Status

# The agent chooses the names of its tools; a row does not grow with them without end.
MOST_CHARACTERS = 16_384
_ALL = (ANY,)
_EVERYTHING = Scope(_ALL, _ALL, _ALL, _ALL, 0, LATEST)
_NOTHING = replace(_EVERYTHING, expires=1)


def facts_of(decision: Decision, agent: Agent, call: Call, recorded_at: float) -> dict[str, Any]:
    """The facts of one decision, for its row; of too many tools only the number."""
    many = sum(map(len, call.tools)) > MOST_CHARACTERS
    facts = {
        "owner": agent.owner,
        "groups": list(agent.groups),
        "lapsed": agent.lapsed,
        "session": agent.session,
        "secret": decision.secret,
        "stream": call.stream,
        "tools": [] if many else list(call.tools),
        "tools_left_out": len(call.tools) if many else 0,
        "max_tokens": call.max_tokens,
        "doubt": call.doubt,
        "server": asdict(call.server) if call.server else None,
        "pin": str(call.mcp.pin) if call.mcp and call.mcp.tool else "",
        **_facts_of(decision.told, agent),
        "decided_at": decision.at if decision.at != recorded_at else 0.0,
    }
    return {name: value for name, value in facts.items() if value}


def _facts_of(why: Why | None, agent: Agent) -> dict[str, Any]:
    """What became of the reason that an agent gave, if it gave any."""
    if why is None or why is unexplained(agent.name):
        return {}
    return {
        "category": why.intent_category,
        "matches": why.intent_matches,
        "goal_status": "" if why.goal_status == NO_GOAL else why.goal_status,
        "goal_actions_left": why.goal_actions_left,
        "delegation_depth": why.delegation_depth,
        "delegated_by": why.delegated_by,
        "actors": list(why.actors) if why.delegation_valid else [],
        "delegation_broken": why.broken,
        "delegation_too_narrow": why.too_narrow,
    }


def server_of(facts: Mapping[str, Any]) -> Server | None:
    """The registered server that a call went to, as it stood then; raises ValueError."""
    said = facts.get("server")
    if said is None:
        return None
    kinds = {
        "groups": tuple(said["groups"]),
        "trust": Trust(said["trust"]),
        "health": Health(said["health"]),
    }
    return Server(**said | kinds)


def standing_of(facts: Mapping[str, Any], goal: str) -> Standing:
    """The records as they stood, of which facts tell; raises ValueError for none of ours.

    They answer as they did then: the goal is as open, the chain holds or not.
    """
    found = None
    if goal:
        status = Status(facts.get("goal_status", Status.UNKNOWN))
        found = Goal(goal, status=status, max_actions=facts.get("goal_actions_left", 0))
    actors = [parse_holder(actor) for actor in facts.get("actors", ())]
    scope = _NOTHING if facts.get("delegation_too_narrow") else _EVERYTHING
    links = tuple(Link("", one, other, scope, "") for one, other in pairwise(actors))
    return Standing(found, Chain(links) if links else None, facts.get("delegation_broken", ""))
