"""Has a decision written, issues the tokens that it allows, and closes the call."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from broker import Broker, Grant, Mask, SecretUnavailableError
from broker.recipes.client_certificate import ClientCertificate
from interlock.apdp import PolicyFolder
from interlock.batch import together
from interlock.calls.fields import values_of
from interlock.calls.usage import Usage
from interlock.errors import ApprovalError, GoalClosedError, LedgerUnavailableError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.courier import Decision
from interlock.ledger.entry import Also
from interlock.ledger.ledger import new_id
from interlock.model import Authority, Declaration, Mode, Reason
from interlock.purse import Purse
from interlock.refusal import refuse, too_late
from interlock.store.approvals import spend as use
from interlock.store.goals import settle, spend
from interlock.verdict import (
    Capability,
    Credential,
    Verdict,
    access_event,
    assertion_of,
    decision_event,
    grant_for,
)

TOKEN_TTL_S = 30


@dataclass(frozen=True, slots=True)
class Pending:
    """A verdict whose record is on its way to the disk: nothing leaves before it is settled.

    `unrecorded` answers what is left of it when the disk refuses the record; `written` is None
    where there is nothing to wait for.
    """

    verdict: Verdict
    unrecorded: Callable[[LedgerUnavailableError], Verdict]
    written: Decision | None = None

    async def settled(self) -> Verdict:
        """Wait for the disk, and answer the verdict that holds."""
        try:
            if self.written:
                await self.written.answer()
        except LedgerUnavailableError as e:
            return self.unrecorded(e)
        return self.verdict


class Recorder:
    """The one way from a decision to a token: over the disk."""

    def __init__(
        self,
        installation: Installation,
        policies: PolicyFolder,
        purse: Purse,
        broker: Broker,
        mask_at: Callable[[Authority], Mask],
        run: str = "",
    ) -> None:
        """`run` names the process that will close what it opens (`interlock.store.run`)."""
        self._installation = installation
        self._policies = policies
        self._purse = purse
        self._broker = broker
        self._mask_at = mask_at
        self._run = run

    async def record(
        self,
        verdict: Verdict,
        declared: Declaration,
        credentials: tuple[Credential, ...],
        now: float,
    ) -> Pending:
        """Have the decision written; then, and only then, issue the tokens.

        They are issued while the disk is at it, for it takes as long as all that a call has still
        to do before it leaves. A secret that a broker elsewhere has crosses afterwards only.
        """
        verdict = together(verdict)
        taken = [(grant_for(verdict, each, TOKEN_TTL_S), each) for each in credentials]
        events = [
            decision_event(one, declared, now, self._arguments(one), self._run)
            for one in (verdict, *verdict.beside)
        ]
        events += [access_event(verdict, grant, now, each.minted) for grant, each in taken]
        unrecorded = partial(self._unrecorded, verdict, bool(credentials))
        crosses = not all(each.secret for each in credentials)
        try:
            written = await self._installation.ledger.enter(
                events,
                tokens=[grant.id for grant, _ in taken],
                expires_at=now + TOKEN_TTL_S,
                also=self._effects(verdict, now),
            )
            if crosses:
                await written.answer()
        except (GoalClosedError, ApprovalError) as e:
            # Another call was faster: it took the last action of the goal, or the approval.
            verdict = too_late(verdict, e)
            # The key of a goal is gone with the goal.
            if verdict.decision.refused or any(each.binding.goals for each in credentials):
                credentials = ()
            return await self.record(verdict, declared, credentials, now)
        except LedgerUnavailableError as e:
            return Pending(unrecorded(e), unrecorded)
        try:
            issued = await self._issue(verdict, taken, now)
        except SecretUnavailableError as e:
            issued = self._without_secret(verdict, e)
        return Pending(issued, unrecorded, None if crosses else written)

    def _unrecorded(
        self, verdict: Verdict, has_credentials: bool, error: LedgerUnavailableError
    ) -> Verdict:
        """What is left of a verdict that is not on disk."""
        if not (has_credentials or verdict.decision.mode is Mode.ENFORCE):
            return verdict
        # Its decision may be on disk later, and would look as if the call had left.
        self.close(verdict, {"ended": "refused", "error": "ledger_unavailable"}, None)
        return refuse(verdict, Reason("ledger_unavailable", str(error)))

    def _without_secret(self, verdict: Verdict, error: SecretUnavailableError) -> Verdict:
        why = f"secret_unavailable: {error.why}"
        self.close(verdict, {"ended": "refused", "error": why}, None)
        return refuse(verdict, Reason("secret_unavailable", str(error)))

    async def _issue(
        self, verdict: Verdict, taken: Sequence[tuple[Grant, Credential]], now: float
    ) -> Verdict:
        """Issue the tokens of a decision that is written; raises SecretUnavailableError."""
        if not taken:
            return verdict
        capability = minted = None
        for grant, each in taken:
            secret = await self._purse.release(grant, each, verdict.call.request.authority)
            token = self._broker.issue(grant, secret, now)
            shown = secret if type(each.recipe) is ClientCertificate else None
            one = Capability(token, each.recipe, each.binding, each.minted, shown)
            if each.minted:
                minted = one
            else:
                capability = one
        return verdict.with_tokens(capability, minted)

    def close(self, verdict: Verdict, outcome: Mapping[str, Any], usage: Usage | None) -> None:
        """Record what became of a call, and count what it used against its goal."""
        body = dict(outcome)
        if usage:
            body |= {
                "tokens_in": usage.tokens_in,
                "tokens_out": usage.tokens_out,
                "cost_usd": usage.cost_usd,
            }
            if usage.estimated:
                body["estimated"] = True
        decision = verdict.decision.id
        event = Event(new_id("evt"), time.time(), "outcome", verdict.agent.name, decision, body)

        def count(connection: sqlite3.Connection) -> None:
            if usage:
                used = usage.tokens_in + usage.tokens_out
                settle(connection, verdict.goal, used, usage.cost_usd)

        self._installation.ledger.note(event, count if verdict.goal and usage else None)

    def _arguments(self, verdict: Verdict) -> dict[str, Any]:
        """The values that the policies of a decision want to have on record, secrets masked."""
        settled = [reason.policy_id for reason in verdict.decision.reasons]
        fields = self._policies.current.recorded(settled)
        request = verdict.call.request
        return values_of(request, fields, self._mask_at(request.authority)) if fields else {}

    def _effects(self, verdict: Verdict, now: float) -> Also | None:
        """What decisions change, in their transaction: a call uses up, a denial may cut off."""
        if not verdict.beside:
            return self._effect(verdict, now)
        found = [self._effect(one, now) for one in (verdict, *verdict.beside)]
        parts = [part for part in found if part]

        def work(connection: sqlite3.Connection) -> None:
            for part in parts:
                part(connection)

        return work if parts else None

    def _effect(self, verdict: Verdict, now: float) -> Also | None:
        agent, call, decision = verdict.agent.name, verdict.call, verdict.decision
        if not (decision.quarantine if decision.refused else verdict.goal or verdict.approval):
            return None

        def work(connection: sqlite3.Connection) -> None:
            if decision.refused:
                by, why = decision.quarantine, f"{decision.why} ({decision.id})"
                self._installation.registry.quarantine(connection, agent, f"policy:{by}", why)
                return
            if verdict.goal:
                spend(connection, verdict.goal, agent, call.action, now)
            if verdict.approval:
                digest = assertion_of(call).hex()
                resource = str(call.resource)
                use(connection, verdict.approval, agent, call.action, resource, digest, now)

        return work
