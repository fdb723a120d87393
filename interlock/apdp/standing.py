"""The stages before policy: does the intent fit, is the goal open, does the delegation hold?"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from interlock.apdp.intents import Intents
from interlock.delegation import Chain
from interlock.model import NO_GOAL, Agent, Call, Declaration, Entity, Reason, Stage, Why
from interlock.store.goals import Goal, Status


@dataclass(frozen=True, slots=True)
class Standing:
    """What the records say to a declaration: the goal that it names, the chain that it shows.

    `broken` says why a chain that was shown does not hold; empty when it does or none was.
    """

    goal: Goal | None = None
    chain: Chain | None = None
    broken: str = ""


NOTHING_SHOWN = Standing()


@dataclass(frozen=True, slots=True)
class Objection:
    """A denial before any policy is asked."""

    stage: Stage
    reason: Reason


def examine(
    agent: Agent,
    call: Call,
    groups: Collection[str],
    declared: Declaration,
    standing: Standing,
    intents: Intents,
    now: float,
) -> tuple[Why, Objection | None]:
    """Hold a declaration against the call and the records, in the order of the stages.

    `groups` are the ancestors of the call's action. What was not declared is no objection:
    policies say whether it has to be.
    """
    said = declared.intent or declared.intent_category or declared.goal
    if standing is NOTHING_SHOWN and not said:
        return unexplained(agent.name), None
    resource = str(call.resource)
    finding = intents.judge(
        declared.intent, declared.intent_category, call.action, frozenset(groups), resource
    )
    status = _goal_status(agent, call, declared, standing, now)
    chain = standing.chain
    why = Why(
        intent_category=finding.category,
        intent_matches=finding.matches,
        goal_status=status,
        goal_actions_left=standing.goal.actions_left if standing.goal else 0,
        delegation_depth=chain.depth if chain else 0,
        delegated_by=str(chain.delegated_by) if chain else "",
        actors=tuple(map(str, chain.actors if chain else (Entity("Agent", agent.name),))),
        broken=standing.broken,
        too_narrow=chain is not None
        and not chain.scope.permits(
            call.action, groups, resource, finding.category, declared.goal, now
        ),
    )
    if finding.denial:
        return why, Objection(Stage.INTENT, Reason("intent-mismatch", finding.denial))
    if status not in (NO_GOAL, Status.ACTIVE):
        said = f"the goal {declared.goal[:80]!r} is {status}"
        return why, Objection(Stage.GOAL, Reason("goal-not-active", said))
    if standing.broken:
        return why, Objection(Stage.DELEGATION, Reason("delegation-broken", standing.broken))
    if why.too_narrow:
        said = f"{why.delegated_by} did not delegate {call.action} on {resource}"
        return why, Objection(Stage.DELEGATION, Reason("delegation-too-narrow", said))
    return why, None


@lru_cache(1024)
def unexplained(agent: str) -> Why:
    """What policies are told of a call for which its agent gives no reason."""
    return Why(actors=(str(Entity("Agent", agent)),))


def _goal_status(
    agent: Agent, call: Call, declared: Declaration, standing: Standing, now: float
) -> str:
    if not declared.goal:
        return NO_GOAL
    if standing.goal is None:
        return Status.UNKNOWN
    return standing.goal.standing(agent.name, call.action, now)
