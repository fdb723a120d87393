"""What the governor answers, and the rows that record it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from broker import Grant, Recipe, Secret, Wire
from broker.quick import quick
from interlock.apdp.facts import facts_of
from interlock.calls import Provider
from interlock.calls.fields import names_of
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.minting.route import Route
from interlock.model import Agent, Binding, Call, Decision, Declaration

NO_ARGUMENTS: Mapping[str, Any] = {}


@quick
@dataclass(frozen=True, slots=True)
class Capability:
    """The token that goes into the flow, the way it and then the secret travel, and by what right.

    The recipe is that of the binding, or of what the secret is exchanged for. `minted` is the id
    of a minted token, whose binding stands nowhere else; empty for a stored secret. `certificate`
    is what has to be shown before the token can be exchanged, when the connection is set up.
    """

    token: str
    recipe: Recipe
    binding: Binding
    minted: str = ""
    certificate: Secret | None = None


@quick
@dataclass(frozen=True, slots=True)
class Credential:
    """A secret on its way to the wire, with the recipe that puts it there.

    `secret` is None while a broker elsewhere keeps it, which it does until the decision is on disk.
    `minted` is the id of a token that an upstream handed out; empty for what a person stored.
    """

    binding: Binding
    recipe: Recipe
    secret: Secret | None
    minted: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Verdict:
    """What the front door needs to know after a decision.

    `goal` is the active goal that the call counts against, empty for none. `shadow` holds what
    other policy sets would have answered, where it differs. `approval` is the one that was asked
    for or is spent. `declared` is why the agent says that it calls. `part_of` is the id of the
    decision on the call with which this one came, empty for what came alone; `beside` holds the
    verdicts on the other messages of a batch. `route` is where an answer may hand out tokens.
    `capability` is None for a call that needs no credential or gets none; `minted` is that of a
    minted token, which may travel beside it.
    """

    decision: Decision
    call: Call
    agent: Agent
    provider: Provider | None
    goal: str = ""
    shadow: tuple[dict[str, Any], ...] = ()
    approval: str = ""
    declared: Declaration = field(default_factory=Declaration)
    beside: tuple["Verdict", ...] = ()
    part_of: str = ""
    route: Route | None = None
    capability: Capability | None = None
    minted: Capability | None = None

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Every token of the call, in the order in which they are exchanged."""
        first = (self.capability,) if self.capability else ()
        return (*first, self.minted) if self.minted else first

    def with_tokens(self, capability: Capability | None, minted: Capability | None) -> "Verdict":
        """The same with the tokens of its call, in a third of `dataclasses.replace`'s time."""
        values = (*_all_but_tokens(self), capability, minted)
        return Verdict(*values)


_all_but_tokens: Callable[[Verdict], tuple[Any, ...]] = attrgetter(
    *[each.name for each in fields(Verdict)[:-2]]
)


def assertion_of(call: Call) -> bytes:
    """What names exactly one request: a token or an approval for it fits no other."""
    request = call.request
    wire = Wire(
        method=request.method,
        authority=str(request.authority),
        path=request.path,
        body_sha256=call.body_sha256,
        verified=False,
    )
    return wire.assertion()


def grant_for(verdict: Verdict, credential: Credential, ttl_s: int) -> Grant:
    """What the token of a call grants: this secret, at this host, to exactly this request."""
    call = verdict.call
    return Grant(
        id=new_id("sct"),
        agent=verdict.agent.name,
        action=call.action,
        resource=str(call.resource),
        secret=credential.binding.secret,
        authority=str(call.request.authority),
        decision_id=verdict.decision.id,
        policy_set=verdict.decision.policy_set,
        goal=verdict.goal,
        assertion=assertion_of(call),
        ttl=ttl_s,
    )


def decision_event(
    verdict: Verdict,
    declared: Declaration,
    now: float,
    arguments: Mapping[str, Any] = NO_ARGUMENTS,
    run: str = "",
) -> Event:
    """The ledger row of a decision: everything that it rests on, no value that is secret.

    Of the values of the request it holds `arguments` alone, which a policy asked for.
    `run` names the process that will close the call (`interlock.store.run`).
    """
    decision, call = verdict.decision, verdict.call
    request = call.request
    body: dict[str, Any] = {
        "effect": decision.effect,
        "label": decision.label,
        "enforced": decision.enforced,
        "mode": decision.mode,
        "stage": decision.stage,
        "reasons": [[reason.policy_id, reason.description] for reason in decision.reasons],
        "policy_set": decision.policy_set,
        "micros": decision.micros,
        "service": call.service,
        "action": call.action,
        "resource": str(call.resource),
        "method": request.method,
        "authority": str(request.authority),
        "path": request.path.partition("?")[0],
        "body_bytes": len(request.body),
        "body_sha256": call.body_sha256.hex(),
        "model": call.model,
        "trust": verdict.agent.trust,
        "intent": declared.intent,
        "intent_category": declared.intent_category,
        "goal": declared.goal,
        "connect": request.evidence.connect,
        "sni": request.evidence.sni,
        "host": request.evidence.host,
        "source_ip": request.source_ip,
        "facts": facts_of(decision, verdict.agent, call, now),
        **names_of(request),
    }
    if arguments:
        body["arguments"] = dict(arguments)
    if run:
        body["run"] = run
    if verdict.agent.proof:
        body["proof"] = verdict.agent.proof
    if verdict.agent.actors:
        body["act"] = list(verdict.agent.actors)
    if decision.quarantine:
        body["quarantine"] = decision.quarantine
    if verdict.approval:
        body["approval"] = verdict.approval
    if call.mcp:
        body["mcp"] = call.mcp.method
    if verdict.part_of:
        body["part_of"] = verdict.part_of
    if verdict.shadow:
        body["shadow"] = list(verdict.shadow)
    return Event(new_id("evt"), now, "decision", verdict.agent.name, decision.id, body)


def access_event(verdict: Verdict, grant: Grant, now: float, minted: str = "") -> Event:
    """The ledger row of an access to a secret: which, for where, by which token."""
    body = {"secret": grant.secret, "authority": grant.authority, "token": grant.id}
    if minted:
        body["minted"] = minted
    return Event(new_id("evt"), now, "secret_access", verdict.agent.name, verdict.decision.id, body)
