"""The one use case: identify, describe, decide, record, issue a token. Read this first."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker import (
    Broker,
    Grant,
    Keyring,
    Recipe,
    Secret,
    SecretUnavailableError,
    Wire,
    parse_recipe,
)
from interlock.apdp import DecisionPoint, Policies, PolicyFolder
from interlock.calls import GENERIC_ACTIONS, Catalogue, Provider, describe
from interlock.errors import LedgerUnavailableError, PolicyError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import (
    Agent,
    Authority,
    Binding,
    Call,
    Decision,
    Declaration,
    Effect,
    Mode,
    Reason,
    Request,
    Stage,
)

TOKEN_TTL_S = 30


@dataclass(frozen=True, slots=True)
class Capability:
    """The token that goes into the flow, and the way it and then the secret travel."""

    token: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the front door needs to know after a decision.

    `capability` is None for a call that needs no credential or gets none.
    """

    decision: Decision
    call: Call
    agent: Agent
    provider: Provider | None
    capability: Capability | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret on its way to the wire, with the recipe that puts it there."""

    binding: Binding
    recipe: Recipe
    secret: Secret


class Governor:
    """Judges every call of one front door. The data plane asks, it answers; no proxy in here."""

    def __init__(self, installation: Installation) -> None:
        """Raises InterlockError or broker.KeyFileError with one clear line."""
        settings = installation.settings
        self.installation = installation
        self.mode = settings.mode
        self.policies = PolicyFolder(settings.policies)
        self.broker = Broker(Keyring.open(settings.keys, "sct"))
        self._decision_point: DecisionPoint
        self._adopt(self.policies.current)

    def identify(self, key: str, name: str | None = None) -> Agent:
        """Answer the agent that a key proves; raises IdentityError."""
        return self.installation.registry.prove(key, time.time(), name)

    def reload_policies(self) -> bool:
        """Take up changed policy files; True when a new set is in force."""
        return self.policies.reload(self._adopt)

    def change_mode(self, mode: Mode) -> None:
        """Switch between observe and enforce while running; the change is recorded."""
        body = {"before": self.mode, "after": mode}
        self.installation.ledger.note(Event(new_id("mod"), time.time(), "mode_change", body=body))
        self.mode = mode

    def mode_of(self, agent: Agent, service: str = "") -> Mode:
        """The mode that holds for an agent, at a service: the strictest that was set."""
        return self.installation.modes.of(self.mode, agent, service)

    def provider_at(self, authority: Authority) -> Provider | None:
        """The API that a destination speaks.

        A host of the catalogue on its own port, or a host that a person bound a provider's
        secret to, by which they said that it speaks that provider's API.
        """
        catalogue = self.installation.catalogue
        for binding in self.installation.bindings.at(authority):
            if provider := catalogue.named(binding.service):
                return provider
        return catalogue.at(authority.host) if authority.port == 443 else None

    async def govern(self, request: Request, agent: Agent, said: Mapping[str, str]) -> Verdict:
        """Decide one request, make the decision durable, and issue the token that it needs.

        `said` holds the declaration headers by their short names (`intent`, `goal`, ...). The
        answer is final: when it returns, the decision is on disk, and only then does a token
        exist. What fails on the way comes back as an enforced denial, never as an exception
        that could let the call pass.
        """
        now = time.time()
        declared = declare(agent, said)
        provider = self.provider_at(request.authority)
        call = describe(request, provider)
        binding = self.installation.bindings.for_agent(agent, request.authority)
        decision = self._decision_point.decide(
            new_id("dec"),
            agent,
            call,
            declared,
            secret=binding.secret if binding else "",
            mode=self.mode_of(agent, call.service),
            now=now,
        )
        verdict = Verdict(decision, call, agent, provider)
        credential = None
        if binding and not decision.refused:
            try:
                credential = self._fetch(binding)
            except SecretUnavailableError as e:
                verdict = self._refuse(verdict, Reason("secret_unavailable", str(e)))
        return await self._record(verdict, declared, credential, now)

    async def _record(
        self, verdict: Verdict, declared: Declaration, credential: Credential | None, now: float
    ) -> Verdict:
        grant = _grant(verdict, credential) if credential else None
        events = [_decision_event(verdict, declared, now)]
        if grant:
            events.append(_access_event(verdict, grant, now))
        try:
            await self.installation.ledger.decide(
                events,
                token_id=grant.id if grant else "",
                expires_at=now + TOKEN_TTL_S,
            )
        except LedgerUnavailableError as e:
            if credential or verdict.decision.mode is Mode.ENFORCE:
                return self._refuse(verdict, Reason("ledger_unavailable", str(e)))
            return verdict
        if not (grant and credential):
            return verdict
        token = self.broker.issue(grant, credential.secret, now)
        return replace(verdict, capability=Capability(token, credential.recipe))

    def _fetch(self, binding: Binding) -> Credential:
        secret = self.installation.secret(binding.secret)
        return Credential(binding, parse_recipe(binding.recipe), secret)

    def _refuse(self, verdict: Verdict, reason: Reason) -> Verdict:
        """Turn a verdict into a refusal that holds in both modes."""
        decision = replace(
            verdict.decision,
            effect=Effect.DENY,
            enforced=True,
            stage=Stage.POLICY,
            reasons=(reason,),
        )
        return replace(verdict, decision=decision)

    def _adopt(self, policies: Policies) -> None:
        """Put a policy set in force; raise PolicyError when it cannot judge every call (I7)."""
        require_coverage(policies, self.installation.catalogue)
        self._decision_point = DecisionPoint(policies)
        body = {"policy_set": policies.digest, "policies": len(policies)}
        self.installation.ledger.note(Event(new_id("pol"), time.time(), "policy_load", body=body))


def require_coverage(policies: Policies, catalogue: Catalogue) -> None:
    """Raise PolicyError when there are calls that a policy set has no words for (I7)."""
    possible = {"access_secret"} | catalogue.actions | GENERIC_ACTIONS
    if missing := possible - policies.action_names:
        raise PolicyError(
            f"{policies.folder}: the schema does not declare {', '.join(sorted(missing))}: "
            "such calls could not be judged"
        )


def declare(agent: Agent, said: Mapping[str, str]) -> Declaration:
    """Fill the gaps of what the agent said with what its registration says."""
    return Declaration(
        intent=said.get("intent") or agent.intent,
        intent_category=said.get("intent_category") or agent.intent_category,
        goal=said.get("goal") or agent.goal,
        delegation=said.get("delegation", ""),
        approval=said.get("approval", ""),
    )


def wire_of(request: Request, body_sha256: bytes | None = None, *, verified: bool = False) -> Wire:
    """The request as the broker binds a token to it."""
    return Wire(
        method=request.method,
        authority=str(request.authority),
        path=request.path,
        body_sha256=body_sha256 or hashlib.sha256(request.body).digest(),
        verified=verified,
    )


def _grant(verdict: Verdict, credential: Credential) -> Grant:
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
        goal="",
        assertion=wire_of(call.request, call.body_sha256).assertion(),
        ttl=TOKEN_TTL_S,
    )


def _decision_event(verdict: Verdict, declared: Declaration, now: float) -> Event:
    decision, call = verdict.decision, verdict.call
    request = call.request
    body = {
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
    }
    return Event(new_id("evt"), now, "decision", verdict.agent.name, decision.id, body)


def _access_event(verdict: Verdict, grant: Grant, now: float) -> Event:
    body = {"secret": grant.secret, "authority": grant.authority, "token": grant.id}
    return Event(new_id("evt"), now, "secret_access", verdict.agent.name, verdict.decision.id, body)
