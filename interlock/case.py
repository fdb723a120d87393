"""One request before the policies: all that the decision on it rests on, and the verdict."""

from dataclasses import dataclass, replace

from broker.quick import quick
from interlock.apdp import DecisionPoint, Standing
from interlock.batch import together
from interlock.calls import Provider
from interlock.declaration import open_goal
from interlock.ledger.ledger import new_id
from interlock.model import Agent, Call, Decision, Declaration, Mode
from interlock.plan import Plan
from interlock.refusal import weaker
from interlock.shadow import Shadow
from interlock.verdict import Verdict


@quick
@dataclass(frozen=True, slots=True)
class Case:
    """What is the same for all of a request, however many calls are in it; `now` is its time."""

    by: DecisionPoint
    shadow: Shadow
    agent: Agent
    declared: Declaration
    standing: Standing
    provider: Provider | None
    plan: Plan
    mode: Mode
    now: float

    def verdict(self, call: Call, goal: str) -> Verdict:
        """Decide on a call that counts against a goal; of a batch, on each of it as well."""
        verdict = self._decided(call, goal)
        if not call.batch:
            return verdict
        first = verdict.decision.id
        beside = [
            self._decided(one, open_goal(self.agent, one, self.standing, self.now), first)
            for one in call.batch
        ]
        return together(replace(verdict, part_of=first, beside=tuple(beside)))

    def _decided(self, call: Call, goal: str, part_of: str = "") -> Verdict:
        """Decide on one call: on each secret that it would take along, and the strictest holds."""
        id_ = new_id("dec")
        needed, *others = self.plan.secrets or ("",)

        def asked(by: DecisionPoint, secret: str = needed) -> Decision:
            return by.decide(
                id_,
                self.agent,
                call,
                self.declared,
                secret=secret,
                mode=self.mode,
                now=self.now,
                standing=self.standing,
            )

        decision = asked(self.by)
        shadow = tuple(self.shadow.differences(decision, asked))
        for other in others:
            decision = weaker(decision, asked(self.by, other))
        return Verdict(
            decision=decision,
            call=call,
            agent=self.agent,
            provider=self.provider,
            goal=goal,
            shadow=shadow,
            declared=self.declared,
            part_of=part_of,
            route=self.plan.route,
        )
