"""A verdict that turns into a stricter one after the policies were asked; never into a milder."""

from dataclasses import replace

from interlock.errors import ApprovalError, GoalClosedError
from interlock.model import Decision, Effect, Reason, Stage
from interlock.verdict import Verdict


def refuse(verdict: Verdict, reason: Reason) -> Verdict:
    """Turn a verdict into a refusal that holds in both modes; a policy's effects do not."""
    decision = replace(
        verdict.decision,
        effect=Effect.DENY,
        enforced=True,
        stage=Stage.POLICY,
        reasons=(reason,),
        quarantine="",
    )
    return replace(verdict, decision=decision)


def too_late(verdict: Verdict, error: GoalClosedError | ApprovalError) -> Verdict:
    """The denial for what could not be spent; nothing is tried a second time."""
    closed = isinstance(error, GoalClosedError)
    told = verdict.decision.told
    if told and isinstance(error, GoalClosedError):
        told = replace(told, goal_status=error.status)
    decision = replace(
        verdict.decision,
        effect=Effect.DENY,
        stage=Stage.GOAL if closed else Stage.APPROVAL,
        reasons=(Reason("goal-not-active" if closed else "approval-not-valid", str(error)),),
        told=told,
    )
    return replace(verdict, decision=decision, goal="", approval="")


def weaker(one: Decision, other: Decision) -> Decision:
    """Of two decisions about one call, the one that lets less through."""
    order = (Effect.DENY, Effect.NEEDS_APPROVAL, Effect.ALLOW)
    return min(one, other, key=lambda decision: order.index(decision.effect))
