"""Why a call is decided so: every stage, every policy whose scope applied, and what it lacked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cedarpy
from cedarpy import pst

from interlock.apdp.decision_point import DecisionPoint
from interlock.apdp.entities import entities_of_call, line_of, uid
from interlock.apdp.intents import Intents
from interlock.apdp.policies import Policies
from interlock.apdp.reach import parts_of
from interlock.apdp.replay import Situation, decide
from interlock.apdp.told import context_of
from interlock.errors import PolicyError
from interlock.model import Decision, Effect, Entity, Stage, Why

ANYTHING = "permit(principal, action, resource) "
NO_INTENT = "none declared, or none that is recognised"
STAGES = (
    Stage.TRUST,
    Stage.INTENT,
    Stage.GOAL,
    Stage.DELEGATION,
    Stage.POLICY,
    Stage.APPROVAL,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage said; `passed` is None when it was not asked."""

    stage: Stage
    passed: bool | None
    said: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy whose scope fits: does its condition hold, what failed, did it settle the answer?"""

    id: str
    description: str
    effect: str
    holds: bool
    failed: tuple[str, ...]
    counted: bool


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policies said to one question: the call, or the access to its secret."""

    action: str
    resource: Entity
    effect: Effect
    policies: tuple[Applied, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with all that led to it; no rulings when no policy was asked."""

    decision: Decision
    steps: tuple[Step, ...]
    rulings: tuple[Ruling, ...]


def explain(
    policies: Policies, intents: Intents, situation: Situation, id_: str = ""
) -> Explanation:
    """Decide a situation and say why so.

    Raises PolicyError for what the schema has no word for.
    """
    policies.require_action(situation.call.action)
    decision = decide(DecisionPoint(policies, intents), situation, id_)
    steps = tuple(_steps(situation, decision))
    if decision.told is None or decision.stage not in (Stage.POLICY, Stage.APPROVAL):
        return Explanation(decision, steps, ())
    try:
        return Explanation(decision, steps, tuple(_rulings(policies, situation, decision.told)))
    except ValueError as e:
        raise PolicyError(f"could not evaluate: {e}") from None


def _steps(situation: Situation, decision: Decision) -> Iterator[Step]:
    """Every stage in order; behind the one that denied it nothing was asked."""
    findings = _findings(situation, decision)
    open_ = True
    for stage in STAGES:
        if stage is decision.stage and decision.effect is not Effect.ALLOW:
            waits = decision.effect is Effect.NEEDS_APPROVAL
            yield Step(stage, False, "a person has to permit it" if waits else decision.why)
            open_ = False
        elif open_ and stage in findings:
            yield Step(stage, True, findings[stage])
        else:
            yield Step(stage, None, "not asked")


def _findings(situation: Situation, decision: Decision) -> dict[Stage, str]:
    """What each stage that was asked found, for the case that it lets the call through."""
    agent, goal, why = situation.agent, situation.declared.goal, decision.told
    trust = {Stage.TRUST: f"{agent.name} is {agent.state}"}
    if why is None:
        return trust
    fits = "fits" if why.intent_matches else "does not fit, which is only marked"
    said = f"{why.intent_category} {fits}" if why.intent_category else NO_INTENT
    return trust | {
        Stage.INTENT: said,
        Stage.GOAL: f"{goal} is {why.goal_status}" if goal else "none named",
        Stage.DELEGATION: f"by {why.delegated_by}" if why.delegation_valid else "none shown",
        Stage.POLICY: decision.why,
        Stage.APPROVAL: "none needed",
    }


def _rulings(policies: Policies, situation: Situation, why: Why) -> Iterator[Ruling]:
    """Ask about the call and then its secret, as the decision point does."""
    agent, call, secret = situation.agent, situation.call, situation.secret
    context = context_of(agent, call, situation.declared, situation.mode, situation.now, why)
    entities = policies.actions.with_added_json_str(
        json.dumps(entities_of_call(agent, call, secret))
    )
    who = Entity("Agent", agent.name)
    principal = (who, *(Entity("Group", name) for name in agent.groups))
    asked = [(call.action, call.resource)]
    if secret:
        asked.append(("access_secret", Entity("Secret", secret)))
    for action, resource in asked:
        line = line_of(resource, call.service, call.server)
        applying = policies.select(principal, ((action, line),)).ids
        question = {
            "principal": uid(who),
            "action": uid(Entity("Action", action)),
            "resource": uid(resource),
            "context": json.dumps(context),
        }
        yield _ruling(policies, sorted(applying), _Bench(question, entities), action, resource)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One question with its entities, to be put to one set of policies after another."""

    question: dict[str, Any]
    entities: cedarpy.Entities

    def ask(self, policies: cedarpy.PolicySet) -> cedarpy.AuthzResult:
        """Raises ValueError when the engine cannot answer."""
        (result,) = cedarpy.is_authorized_batch([self.question], policies, self.entities)
        if result.decision is cedarpy.Decision.NoDecision:
            raise ValueError(result.diagnostics.errors[0])
        return result

    def holds(self, clauses: tuple[pst.Clause, ...]) -> bool | None:
        """Say whether clauses hold; None when they cannot be evaluated."""
        result = self.ask(_alone(clauses))
        return None if result.diagnostics.errors else result.decision is cedarpy.Decision.Allow


def _ruling(
    policies: Policies, applying: list[str], bench: _Bench, action: str, resource: Entity
) -> Ruling:
    answer = DecisionPoint(policies).answer_of(bench.ask(policies.handle))
    counted = {reason.policy_id for reason in answer.reasons}
    clauses = policies.handle.to_pst().static_policies
    found = []
    for id_ in applying:
        known, conditions = policies.by_id[id_], clauses[id_].clauses
        holds = bool(bench.holds(conditions))
        failed = () if holds else tuple(_failed(bench, conditions))
        effect = known.effect or ("forbid" if known.forbids else "permit")
        found.append(Applied(id_, known.description, effect, holds, failed, id_ in counted))
    return Ruling(action, resource, answer.effect, tuple(found))


def _failed(bench: _Bench, conditions: tuple[pst.Clause, ...]) -> Iterator[str]:
    """Write down each part of the conditions that does not hold by itself."""
    for clause in conditions:
        for part in parts_of(clause):
            holds = bench.holds((part,))
            if not holds:
                said = "" if holds is False else "  (could not be evaluated)"
                yield _text(part) + said


def _alone(clauses: tuple[pst.Clause, ...]) -> cedarpy.PolicySet:
    """A set of one policy that permits anything under these clauses."""
    anything = pst.ScopeAny()
    only = pst.Template("only", "permit", anything, anything, anything, clauses, {})
    return cedarpy.PolicySet.from_pst(pst.PolicySet({}, {"only": only}, ()))


def _text(clause: pst.Clause) -> str:
    return str(_alone((clause,))).strip().removeprefix(ANYTHING).removesuffix(";")
