"""What holds of what an agent declared: its words, its goal, its chain of delegation."""

from collections.abc import Mapping

from interlock.apdp import NOTHING_SHOWN, Standing
from interlock.delegation import DelegationError
from interlock.errors import RegistryError
from interlock.installation import Installation
from interlock.model import NOTHING_SAID, Agent, Call, Declaration
from interlock.store.goals import Status


def declare(agent: Agent, said: Mapping[str, str]) -> Declaration:
    """What holds of a declaration: what the session pins, what was said, what is registered."""
    pinned = agent.pinned
    if pinned is NOTHING_SAID and not said:
        return Declaration(agent.intent, agent.intent_category, agent.goal)
    return Declaration(
        intent=pinned.intent or said.get("intent") or agent.intent,
        intent_category=pinned.intent_category
        or said.get("intent_category")
        or agent.intent_category,
        goal=pinned.goal or said.get("goal") or agent.goal,
        delegation=pinned.delegation or said.get("delegation", ""),
        approval=said.get("approval", ""),
    )


def standing_in(records: Installation, agent: Agent, declared: Declaration, now: float) -> Standing:
    """Look up what a declaration names: the goal, and the chain of delegation."""
    goal = records.goals.get(declared.goal) if declared.goal else None
    if not declared.delegation:
        return Standing(goal) if goal else NOTHING_SHOWN
    try:
        return Standing(goal, records.verify_delegation(agent.name, declared.delegation, now))
    except (DelegationError, RegistryError) as e:
        return Standing(goal, broken=str(e))


def open_goal(agent: Agent, call: Call, standing: Standing, now: float) -> str:
    """The id of the goal that a call counts against; empty when there is none, or it is closed."""
    goal = standing.goal
    is_open = goal and goal.standing(agent.name, call.action, now) is Status.ACTIVE
    return goal.id if goal and is_open else ""
