"""Should this agent do this, now, for this reason? Trust first, then Cedar."""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cedarpy

from interlock.apdp.context import misfit
from interlock.apdp.entities import entities_of, line_of, uid
from interlock.apdp.intents import Intents
from interlock.apdp.policies import Policies
from interlock.apdp.selection import Line, Question
from interlock.apdp.standing import NOTHING_SHOWN, Standing, examine
from interlock.apdp.told import ATTRIBUTES, Told
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Entity,
    Mode,
    Reason,
    Server,
    Stage,
    Why,
)

_ERRING_POLICY = re.compile(r"policy `([^`]*)`")
NOTHING_PERMITS = Reason("no-policy", "no policy permits it")
DOUBT = "call-in-doubt"
# A context is made here, and is no circle.
_as_json = json.JSONEncoder(check_circular=False).encode
# How many matters are kept; each holds its entities, some 17 KB.
MATTERS = 1024
# How many answers are kept, and how much may be told for one that is: 16 MB with the rest of it.
ANSWERS, SHORT = 4096, 2048


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said to one question, with erring forbids counted as holding."""

    effect: Effect
    reasons: tuple[Reason, ...]
    applicable: int = 0
    considered: int = 0
    quarantine: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Matter:
    """The part of a question to the engine that many calls share, parsed once; itself only.

    `reads` names the attributes of the context that the policies look at which can apply.
    """

    who: Line
    asked: tuple[Question, ...]
    reads: tuple[str, ...]
    questions: tuple[dict[str, Any], ...]
    entities: cedarpy.Entities


class DecisionPoint:
    """Decides calls against one policy set. Pure: the same values give the same decision."""

    def __init__(self, policies: Policies, intents: Intents | None = None) -> None:
        self._policies = policies
        self._intents = intents or Intents({})
        self._groups = ancestors(policies)
        self._matter = lru_cache(MATTERS)(self._matter_of)
        self._known_answer = lru_cache(ANSWERS)(self._answered)

    def decide(
        self,
        id_: str,
        agent: Agent,
        call: Call,
        declared: Declaration,
        *,
        secret: str,
        mode: Mode,
        now: float,
        standing: Standing = NOTHING_SHOWN,
    ) -> Decision:
        """Decide one call and the access to the secret that it needs, in one batch.

        The call is allowed when both are. An empty `secret` means that it needs none. `now` is
        in seconds since the epoch. `standing` is what the records say to the declaration.
        """
        started = time.perf_counter_ns()
        stage, answer, why = self._judge(agent, call, declared, standing, secret, mode, now)
        binding = mode is Mode.ENFORCE or (bool(call.doubt) and bool(secret))
        return Decision(
            id=id_,
            effect=answer.effect,
            enforced=binding,
            mode=mode,
            stage=stage,
            reasons=answer.reasons,
            policy_set=self._policies.digest,
            considered=answer.considered,
            applicable=answer.applicable,
            micros=(time.perf_counter_ns() - started) // 1000,
            quarantine=answer.quarantine if agent.identified else "",
            secret=secret,
            at=now,
            told=why,
        )

    def _judge(
        self,
        agent: Agent,
        call: Call,
        declared: Declaration,
        standing: Standing,
        secret: str,
        mode: Mode,
        now: float,
    ) -> tuple[Stage, Answer, Why | None]:
        if agent.cut_off:
            cut_off = Reason(f"agent-{agent.state}", f"{agent.name} is cut off")
            return Stage.TRUST, _denial(cut_off), None
        if call.server and call.server.cut_off:
            said = f"the server {call.server.name} is cut off"
            return Stage.TRUST, _denial(Reason(f"server-{call.server.state}", said)), None
        if call.doubt:
            return Stage.POLICY, _denial(Reason(DOUBT, call.doubt)), None
        groups = self._groups.get(call.action, frozenset())
        why, objection = examine(agent, call, groups, declared, standing, self._intents, now)
        if objection:
            return objection.stage, _denial(objection.reason), why
        told = Told(agent, call, declared, mode, now, why)
        if not told.is_plain() and (wrong := misfit(told.context(ATTRIBUTES), call.resource)):
            return Stage.POLICY, _denial(Reason("context-misfit", wrong)), why
        try:
            at = call.request.authority
            matter = self._matter(
                agent, call.action, call.resource, call.service, at, secret, call.server
            )
            return *self._ask(matter, told), why
        except ValueError as e:
            failed = Reason("engine", f"could not evaluate: {e}"[:200])
            return Stage.POLICY, _denial(failed), why

    def _ask(self, matter: Matter, told: Told) -> tuple[Stage, Answer]:
        """Put all questions about one call to the engine at once; raises ValueError.

        Only the policies that can apply are asked, and told only what they look at. Told the
        same about the same matter, they answer the same, so that they need not be asked again.
        """
        said = _as_json(told.context(matter.reads))
        ask = self._known_answer if len(said) <= SHORT else self._answered
        return ask(matter, said)

    def _answered(self, matter: Matter, said: str) -> tuple[Stage, Answer]:
        chosen = self._policies.select(matter.who, matter.asked)
        results = cedarpy.is_authorized_batch(
            [question | {"context": said} for question in matter.questions],
            chosen.handle,
            matter.entities,
        )
        found = [self._answer(result, len(chosen.ids)) for result in results]
        answers = list(map(_named, found, matter.asked))
        return _stage(answers), _together(answers)

    def _matter_of(
        self,
        agent: Agent,
        action: str,
        resource: Entity,
        service: str,
        authority: Authority,
        secret: str,
        server: Server | None,
    ) -> Matter:
        """Prepare what is the same for all calls of an agent to one operation."""
        groups = tuple(Entity("Group", name) for name in agent.groups)
        at = Entity("Service", service)
        line = line_of(resource, service, server)
        asked: tuple[Question, ...] = ((action, line),)
        if secret:
            asked += (("access_secret", (Entity("Secret", secret), at)),)
        entities = entities_of(agent, resource, service, authority, secret, server)
        who = (Entity("Agent", agent.name), *groups)
        reads = self._policies.select(who, asked).reads
        return Matter(
            who,
            asked,
            tuple(name for name in ATTRIBUTES if reads is None or name in reads),
            tuple(_question(agent, action, line[0]) for action, line in asked),
            self._policies.actions.with_added_json_str(json.dumps(entities)),
        )

    def _answer(self, result: cedarpy.AuthzResult, considered: int = 0) -> Answer:
        """Read one result. An erring forbid holds; only an Allow without one is an Allow."""
        known = self._policies.by_id
        erring = [
            found[1] if (found := _ERRING_POLICY.search(error)) else error
            for error in result.diagnostics.errors
        ]
        broken = [id_ for id_ in erring if id_ not in known or known[id_].forbids]
        if broken:
            return Answer(
                Effect.DENY,
                tuple(Reason(id_, "could not be evaluated, so it holds") for id_ in broken),
                len(broken),
                considered,
                self._quarantine(broken),
            )
        policies = [known[id_] for id_ in sorted(result.diagnostics.reasons)]
        reasons = tuple(Reason(policy.id, policy.description) for policy in policies)
        if result.decision is not cedarpy.Decision.Allow:
            return Answer(
                Effect.DENY,
                reasons or (NOTHING_PERMITS,),
                len(reasons),
                considered,
                self._quarantine(policy.id for policy in policies),
            )
        if all(policy.effect == "require_approval" for policy in policies):
            return Answer(Effect.NEEDS_APPROVAL, reasons, len(reasons), considered)
        return Answer(Effect.ALLOW, reasons, len(reasons), considered)

    answer_of = _answer

    def _quarantine(self, holding: Iterable[str]) -> str:
        """The first of these policies that puts an agent into quarantine; empty for none."""
        known = self._policies.by_id
        found = (id_ for id_ in holding if id_ in known and known[id_].effect == "quarantine")
        return next(found, "")


def ancestors(policies: Policies) -> Mapping[str, frozenset[str]]:
    """The groups that each action of the schema is in."""
    return {
        entity["uid"]["id"]: frozenset(parent["id"] for parent in entity["parents"])
        for entity in json.loads(str(policies.actions))
    }


def _question(agent: Agent, action: str, resource: Entity) -> dict[str, Any]:
    return {
        "principal": uid(Entity("Agent", agent.name)),
        "action": uid(Entity("Action", action)),
        "resource": uid(resource),
    }


def _named(answer: Answer, asked: Question) -> Answer:
    """Where no policy permits the access to a secret, say so: the call itself may be permitted."""
    action, line = asked
    if action != "access_secret" or answer.reasons != (NOTHING_PERMITS,):
        return answer
    why = Reason(NOTHING_PERMITS.policy_id, f"no policy permits {action} {line[0]}")
    return replace(answer, reasons=(why,))


def _denial(reason: Reason) -> Answer:
    return Answer(Effect.DENY, (reason,))


def _together(answers: Sequence[Answer]) -> Answer:
    """The weakest answer decides, and its reasons are the ones that are told."""
    for effect in (Effect.DENY, Effect.NEEDS_APPROVAL):
        settled = [answer for answer in answers if answer.effect is effect]
        if settled:
            break
    else:
        effect, settled = Effect.ALLOW, list(answers)
    reasons = dict.fromkeys(reason for answer in settled for reason in answer.reasons)
    return Answer(
        effect,
        tuple(reasons),
        sum(answer.applicable for answer in answers),
        max(answer.considered for answer in answers),
        next(filter(None, (answer.quarantine for answer in settled)), ""),
    )


def _stage(answers: Sequence[Answer]) -> Stage:
    waiting = any(answer.effect is Effect.NEEDS_APPROVAL for answer in answers)
    denied = any(answer.effect is Effect.DENY for answer in answers)
    return Stage.APPROVAL if waiting and not denied else Stage.POLICY
