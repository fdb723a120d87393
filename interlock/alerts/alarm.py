"""A planted key was used: the agent is cut off, the alarm recorded, the call refused."""

import logging
import sqlite3
import time
from dataclasses import replace

from interlock.alerts.sighting import Sighting
from interlock.calls import describe
from interlock.errors import LedgerUnavailableError
from interlock.governor import Governor
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import (
    Agent,
    Authority,
    Decision,
    Declaration,
    Effect,
    Reason,
    Request,
    Stage,
)
from interlock.verdict import Verdict, decision_event

log = logging.getLogger(__name__)

HIDDEN = "hidden"


async def raise_alarm(
    governor: Governor, request: Request, agent: Agent, sighting: Sighting
) -> Verdict:
    """Refuse a call that carries a planted key, in both modes, and cut off who sent it.

    One transaction holds the denial, the alert and the quarantine. Should the store not take
    it, the call is refused all the same. An unidentified caller is refused; there is nobody to
    cut off.
    """
    verdict = _verdict(governor, _bare(request, sighting), agent, sighting)
    now = time.time()
    events = [decision_event(verdict, Declaration(), now), _alert(verdict, sighting, now)]
    records = governor.installation

    def cut_off(connection: sqlite3.Connection) -> None:
        actor = f"honeytoken:{sighting.honeytoken}"
        records.registry.quarantine(connection, agent.name, actor, "a planted key was used")

    try:
        await records.ledger.decide(events, also=cut_off)
    except LedgerUnavailableError as e:
        log.error("honeytoken %s was used, and nobody is cut off: %s", sighting.honeytoken, e)
    return verdict


def discreet(verdict: Verdict) -> Verdict:
    """The verdict as the caller may see it: a thief is not told which of the keys are planted.

    It reads like the answers that follow: of one who is cut off, or who may not do this.
    """
    agent = verdict.agent
    known = Reason("agent-quarantined", f"{agent.name} is cut off")
    reason = known if agent.identified else Reason("no-policy", "no policy permits it")
    return replace(verdict, decision=replace(verdict.decision, reasons=(reason,)))


def _bare(request: Request, sighting: Sighting) -> Request:
    """The request without whatever may hold the value: who and where to is enough to record."""
    authority = request.authority
    if sighting.where == "host":
        authority = Authority(HIDDEN, authority.port)
    bare = Request(request.method, request.scheme, authority, "/", source_ip=request.source_ip)
    return replace(bare, method=HIDDEN) if sighting.where == "method" else bare


def _verdict(governor: Governor, request: Request, agent: Agent, sighting: Sighting) -> Verdict:
    provider = governor.provider_at(request.authority)
    decision = Decision(
        id=new_id("dec"),
        effect=Effect.DENY,
        enforced=True,
        mode=governor.mode_of(agent, provider.service if provider else request.authority.short),
        stage=Stage.TRUST,
        reasons=(Reason("honeytoken", f"{sighting.honeytoken} stood in {sighting.where}"),),
        policy_set=governor.policies.current.digest,
    )
    return Verdict(decision, describe(request, None), agent, provider)


def _alert(verdict: Verdict, sighting: Sighting, now: float) -> Event:
    request = verdict.call.request
    body = {
        "alert": "honeytoken",
        "honeytoken": sighting.honeytoken,
        "where": sighting.where,
        "method": request.method,
        "authority": str(request.authority),
        "source_ip": request.source_ip,
        "mode": verdict.decision.mode,
    }
    return Event(new_id("alr"), now, "alert", verdict.agent.name, verdict.decision.id, body)
