"""Holds a call that a person has to permit, until one answers or the time is over."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from interlock.apdp import Policies
from interlock.errors import LedgerUnavailableError, RegistryError, StoreError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import Effect, Reason, Stage
from interlock.store.approvals import Approval, Status, ask
from interlock.verdict import Verdict, assertion_of, decision_event

log = logging.getLogger(__name__)

POLL_S = 0.25
# So many calls of one agent wait at once, in each worker; nobody is asked about one more.
MOST_HELD = 100
# How long an approval can still be given, and used with Interlock-Approval, after the call that
# asked for it went away or was not waited for any longer.
LATE_S = 600.0
# What of the decision a person is told who has to answer; arguments are for no eyes but policy's.
TOLD = ("method", "authority", "path", "body_bytes", "model", "intent", "goal", "reasons")


@dataclass(frozen=True, slots=True)
class Held:
    """One call that waits; `deadline` is in epoch seconds."""

    agent: str
    deadline: float
    is_gone: Callable[[], bool]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Hold:
    """Asks, waits without blocking any other call, and turns the answer into a decision."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._held: dict[str, Held] = {}
        self._watch: asyncio.Task[None] | None = None

    async def settle(
        self, verdict: Verdict, policies: Policies, shown: str, is_gone: Callable[[], bool]
    ) -> Verdict:
        """Answer the verdict after a person has; `shown` is an approval that the agent sent along.

        An approval is spent later, in the transaction of the decision. Who does not answer
        leaves the decision at `needs_approval`, who says no makes it a denial.
        """
        if shown:
            return _approved(verdict, shown, "the approval that was shown")
        agent = verdict.agent.name
        if sum(held.agent == agent for held in self._held.values()) >= MOST_HELD:
            said = f"{MOST_HELD} calls of {agent} wait already, so nobody is asked"
            return _told(verdict, Effect.NEEDS_APPROVAL, "", "approval-not-asked", said)
        limit = max(policies.by_id[r.policy_id].timeout_s for r in verdict.decision.reasons)
        approval = _question(verdict, limit)
        id_ = approval.id
        held = self._held[id_] = Held(agent, approval.asked_at + limit, is_gone)
        try:
            if not await self._ask(approval):
                return verdict
            answer = await self._answer(held, id_)
        finally:
            del self._held[id_]
        if answer.status is Status.DENIED:
            return _told(verdict, Effect.DENY, id_, "approval-denied", _who(answer))
        if is_gone():
            said = f"the agent went away; approve {id_} and let it send the call again"
            return _told(verdict, Effect.NEEDS_APPROVAL, id_, "agent-gone", said)
        if answer.status is not Status.APPROVED:
            said = f"nobody answered within {limit} s; approve {id_} and send it again"
            return _told(verdict, Effect.NEEDS_APPROVAL, id_, "approval-timed-out", said)
        try:
            self._installation.registry.require_good_standing([agent], time.time())
        except RegistryError as e:
            return _told(verdict, Effect.DENY, id_, "agent-cut-off", str(e))
        return _approved(verdict, id_, _who(answer))

    async def _ask(self, approval: Approval) -> bool:
        """Store the question; False when that fails, which leaves the call waiting for nobody."""
        asked = {"approval": approval.id, "action": approval.action, "resource": approval.resource}
        event = Event(
            new_id("evt"),
            approval.asked_at,
            "approval",
            approval.agent,
            approval.decision_id,
            asked | dict(approval.told),
        )
        try:
            await self._installation.ledger.decide([event], also=lambda c: ask(c, approval))
        except LedgerUnavailableError:
            return False
        log.info(
            "%s waits for approval %s: %s %s",
            approval.agent,
            approval.id,
            approval.told["method"],
            ascii(f"{approval.told['authority']}{approval.told['path']}"),
        )
        return True

    async def _answer(self, held: "Held", approval_id: str) -> Approval:
        """Wait for an answer, until the time is over, or the agent is gone."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look())
        await held.over.wait()
        approval = self._installation.approvals.get(approval_id)
        if approval is None:
            raise LookupError(f"approval {approval_id} has disappeared")
        return approval

    async def _look(self) -> None:
        """Look every now and then who has an answer, once for all that wait."""
        while self._held:
            now = time.time()
            try:
                answered = self._installation.approvals.answered(self._held)
            except StoreError:
                answered = set(self._held)  # each looks for itself, and says what is wrong
            for approval_id, held in self._held.items():
                if approval_id in answered or now >= held.deadline or held.is_gone():
                    held.over.set()
            await asyncio.sleep(POLL_S)


def _question(verdict: Verdict, limit: int) -> Approval:
    """What a person is asked; nobody waits for the answer for longer than `limit` seconds."""
    now = time.time()
    row = decision_event(verdict, verdict.declared, now).body
    return Approval(
        id=new_id("apr"),
        decision_id=verdict.decision.id,
        agent=verdict.agent.name,
        action=verdict.call.action,
        resource=str(verdict.call.resource),
        request_digest=assertion_of(verdict.call).hex(),
        asked_at=now,
        expires_at=now + limit + LATE_S,
        told={name: row[name] for name in TOLD if row[name]},
    )


def _approved(verdict: Verdict, approval_id: str, why: str) -> Verdict:
    reasons = (*verdict.decision.reasons, Reason("approved", why))
    decision = replace(verdict.decision, effect=Effect.ALLOW, stage=Stage.APPROVAL, reasons=reasons)
    return replace(verdict, decision=decision, approval=approval_id)


def _told(verdict: Verdict, effect: Effect, approval: str, id_: str, said: str) -> Verdict:
    decision = replace(
        verdict.decision, effect=effect, stage=Stage.APPROVAL, reasons=(Reason(id_, said),)
    )
    return replace(verdict, decision=decision, approval=approval)


def _who(approval: Approval) -> str:
    by = approval.decided_by or "somebody"
    return f"{by}: {approval.reason}" if approval.reason else by
