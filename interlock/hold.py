"""Holds a call that a person has to permit, until one answers or the time is over."""

import asyncio
import logging
import time
from dataclasses import replace

from interlock.apdp import Policies
from interlock.errors import LedgerUnavailableError, RegistryError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import Effect, Reason, Stage
from interlock.store.approvals import Approval, Status, ask
from interlock.verdict import Verdict, assertion_of, decision_event

log = logging.getLogger(__name__)

POLL_S = 0.25
# How long an approval can still be given, and used with Interlock-Approval, after the call that
# asked for it went away.
LATE_S = 600.0
# What of the decision a person is told who has to answer; arguments are for no eyes but policy's.
TOLD = ("method", "authority", "path", "body_bytes", "model", "intent", "goal", "reasons")


class Hold:
    """Asks, waits without blocking any other call, and turns the answer into a decision."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    async def settle(self, verdict: Verdict, policies: Policies, shown: str) -> Verdict:
        """Answer the verdict after a person has; `shown` is an approval that the agent sent along.

        An approval is spent later, in the transaction of the decision. Who does not answer
        leaves the decision at `needs_approval`, who says no makes it a denial.
        """
        if shown:
            return _approved(verdict, shown, "the approval that was shown")
        limit = max(policies.by_id[r.policy_id].timeout_s for r in verdict.decision.reasons)
        approval = await self._ask(verdict, limit)
        if approval is None:
            return verdict
        answer = await self._answer(approval.id, approval.asked_at + limit)
        if answer.status is Status.DENIED:
            return _told(verdict, Effect.DENY, approval, "approval-denied", _who(answer))
        if answer.status is not Status.APPROVED:
            said = f"nobody answered within {limit} s; approve {approval.id} and send it again"
            return _told(verdict, Effect.NEEDS_APPROVAL, approval, "approval-timed-out", said)
        try:
            self._installation.registry.require_good_standing([verdict.agent.name], time.time())
        except RegistryError as e:
            return _told(verdict, Effect.DENY, approval, "agent-cut-off", str(e))
        return _approved(verdict, approval.id, _who(answer))

    async def _ask(self, verdict: Verdict, limit: int) -> Approval | None:
        """Store the question; None when that fails, which leaves the call waiting for nobody."""
        now = time.time()
        row = decision_event(verdict, verdict.declared, now).body
        told = {name: row[name] for name in TOLD if row[name]}
        approval = Approval(
            id=new_id("apr"),
            decision_id=verdict.decision.id,
            agent=verdict.agent.name,
            action=verdict.call.action,
            resource=str(verdict.call.resource),
            request_digest=assertion_of(verdict.call).hex(),
            asked_at=now,
            expires_at=now + limit + LATE_S,
            told=told,
        )
        asked = {"approval": approval.id, "action": approval.action, "resource": approval.resource}
        body = asked | told
        event = Event(new_id("evt"), now, "approval", approval.agent, approval.decision_id, body)
        try:
            await self._installation.ledger.decide([event], also=lambda c: ask(c, approval))
        except LedgerUnavailableError:
            return None
        log.info(
            "%s waits for approval %s: %s %s",
            approval.agent,
            approval.id,
            told["method"],
            ascii(f"{told['authority']}{told['path']}"),
        )
        return approval

    async def _answer(self, approval_id: str, deadline: float) -> Approval:
        """Look every now and then, until there is an answer or the deadline is over."""
        while True:
            approval = self._installation.approvals.get(approval_id)
            if approval is None:
                raise LookupError(f"approval {approval_id} has disappeared")
            if approval.status is not Status.PENDING or time.time() >= deadline:
                return approval
            await asyncio.sleep(POLL_S)


def _approved(verdict: Verdict, approval_id: str, why: str) -> Verdict:
    reasons = (*verdict.decision.reasons, Reason("approved", why))
    decision = replace(verdict.decision, effect=Effect.ALLOW, stage=Stage.APPROVAL, reasons=reasons)
    return replace(verdict, decision=decision, approval=approval_id)


def _told(verdict: Verdict, effect: Effect, approval: Approval, id_: str, said: str) -> Verdict:
    decision = replace(
        verdict.decision, effect=effect, stage=Stage.APPROVAL, reasons=(Reason(id_, said),)
    )
    return replace(verdict, decision=decision, approval=approval.id)


def _who(approval: Approval) -> str:
    by = approval.decided_by or "somebody"
    return f"{by}: {approval.reason}" if approval.reason else by
