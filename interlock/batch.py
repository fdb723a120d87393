"""Several messages in one body are judged one by one, and leave together or not at all."""

from dataclasses import replace

from interlock.model import Effect, Reason, Stage
from interlock.verdict import Verdict

TOGETHER = "batch-denied"


def together(verdict: Verdict) -> Verdict:
    """The verdict of a batch: where one of its calls is not allowed, no other one is either.

    Nobody waits for an approval of a part: a call that needs one has to be sent alone.
    """
    if not verdict.beside:
        return verdict
    stopping = next((v for v in (verdict, *verdict.beside) if _stops(v)), None)
    if stopping is None:
        return verdict
    first, *others = [_denied(one, stopping) for one in (verdict, *verdict.beside)]
    return replace(first, beside=tuple(replace(one, beside=()) for one in others))


def _stops(verdict: Verdict) -> bool:
    return verdict.decision.effect is not Effect.ALLOW


def _denied(verdict: Verdict, stopping: Verdict) -> Verdict:
    """A part of a batch that does not leave: with its own reason, or that of the one that stops."""
    decision = verdict.decision
    if decision.effect is Effect.DENY:
        enforced = decision.enforced or stopping.decision.enforced
        return replace(verdict, decision=replace(decision, enforced=enforced))
    reason = Reason(
        TOGETHER, f"its batch holds a call that is not allowed ({stopping.decision.id})"
    )
    if decision.effect is Effect.NEEDS_APPROVAL:
        reason = Reason(TOGETHER, "needs approval, so it has to be sent alone, not in a batch")
    decision = replace(
        decision,
        effect=Effect.DENY,
        stage=Stage.POLICY,
        reasons=(reason,),
        enforced=decision.enforced or stopping.decision.refused,
    )
    return replace(verdict, decision=decision, goal="")
