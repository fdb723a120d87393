"""The one use case: identify, describe, decide, record, issue a token. Read this first."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from broker import (
    Broker,
    KeyFolder,
    Keyring,
    Mask,
    Secret,
    SecretUnavailableError,
    Wire,
)
from interlock.apdp import DecisionPoint, Intents, Policies, PolicyFolder
from interlock.calls import Provider, describe
from interlock.calls.usage import Usage
from interlock.case import Case
from interlock.coverage import require_coverage, require_sound
from interlock.custody import custody_of
from interlock.declaration import declare, open_goal, standing_in
from interlock.errors import PolicyError, RegistryError
from interlock.federation import is_statement
from interlock.hold import Hold
from interlock.installation import Installation
from interlock.ledger import Knocks
from interlock.ledger.announce import announce_failure, announce_mode, announce_policies
from interlock.ledger.ledger import new_id
from interlock.minting.minting import Taken
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Mode,
    Reason,
    Request,
    Server,
)
from interlock.offers import Offers
from interlock.plan import CHANGED, Plan, plan_for
from interlock.purse import Purse
from interlock.recorder import Pending, Recorder
from interlock.refusal import refuse
from interlock.shadow import Shadow
from interlock.steps import Steps
from interlock.store.distinct import require_distinct
from interlock.store.goals import Status
from interlock.verdict import Capability, Credential, Verdict

log = logging.getLogger(__name__)

LARGE_BYTES = 64 << 10


class Governor:
    """Judges every call of one front door. The data plane asks, it answers; no proxy in here."""

    def __init__(self, installation: Installation, run: str = "") -> None:
        """Raises InterlockError or broker.KeyFileError with one clear line.

        `run` names the process that will close what it opens (`interlock.store.run`).
        """
        settings = installation.settings
        self.installation = installation
        self.mode = settings.mode
        self.knocks = Knocks(installation.ledger.note)
        try:
            self.policies = PolicyFolder(settings.policies)
        except PolicyError as e:
            announce_failure(installation.ledger, e)
            raise
        self._keyring = Keyring.open(settings.keys, "sct")
        self.broker = Broker(self._keyring)
        self._shadow = Shadow(settings.shadow)
        self._hold = Hold(installation)
        self._decision_point: DecisionPoint
        sound = partial(require_sound, catalogue=installation.catalogue)
        self.custody = custody_of(installation, sound)
        bindings = installation.bindings.all()
        sound(bindings)
        require_distinct(bindings)
        installation.minting.require_sound()
        installation.federation.require_sound()
        self._purse = Purse(installation, self.custody)
        self._recorder = Recorder(
            installation, self.policies, self._purse, self.broker, self.mask_at, run
        )
        self._adopt(self.policies.current, self.policies.intents)
        announce_mode(installation.ledger, settings.mode)

    def identify(self, key: str, name: str | None = None) -> Agent:
        """Answer the agent that a key or a token proves; raises IdentityError."""
        return self.identify_until(key, name)[0]

    def identify_until(self, key: str, name: str | None = None) -> tuple[Agent, float]:
        """The same, and until when (epoch seconds) it holds if nothing changes; 0 for a moment."""
        if is_statement(key):
            return self.installation.federation.prove(key, time.time(), name), 0.0
        return self.installation.registry.prove_until(key, time.time(), name)

    def reload_policies(self) -> bool:
        """Take up changed policy files; True when a new set is in force."""
        self._shadow.reload()
        return self.policies.reload(
            self._adopt, partial(announce_failure, self.installation.ledger)
        )

    def renew_keys(self) -> None:
        """Take up rotated keys and remove ended ones; raises broker.KeyFileError."""
        now = time.time()
        if self._keyring.renew(now):
            log.info("tokens are signed by key %s from now on", self._keyring.kid)
        KeyFolder(self.installation.settings.keys, "checkpoint").remove_ended(now)

    def change_mode(self, mode: Mode) -> None:
        """Switch between observe and enforce while running; the change is recorded."""
        announce_mode(self.installation.ledger, mode)
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

    def mask_at(self, authority: Authority) -> Mask:
        """Everything that an answer of a destination must not bring back: secrets and tokens."""
        known = self.custody.mask_at(authority)
        minted = self.installation.minting.mask_at(authority)
        return known | minted if minted else known

    async def govern(
        self, request: Request, agent: Agent, said: Mapping[str, str], steps: Steps | None = None
    ) -> Verdict:
        """Decide one request, make the decision durable, and issue the token that it needs.

        `said` holds the declaration headers by their short names (`intent`, `goal`, ...). The
        answer is final: when it returns, the decision is on disk. What fails on the way comes
        back as an enforced denial, never as an exception that could let the call pass.
        """
        return await (await self.judge(request, agent, said, steps)).settled()

    async def judge(
        self,
        request: Request,
        agent: Agent,
        said: Mapping[str, str],
        steps: Steps | None = None,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Pending:
        """The same, but do not wait for the disk: until it has settled, nothing may leave.

        A call for which a person is asked waits until `is_gone` says that its agent does not.
        """
        unknown = await self._unknown(request.authority)
        now = time.time()
        steps = steps or Steps()
        declared = declare(agent, said)
        verdict, plan = await self._judged(request, agent, declared, now)
        decision = verdict.decision
        steps.over("decide")
        if decision.refused and decision.effect is Effect.NEEDS_APPROVAL:
            policies, shown = self.policies.current, declared.approval
            verdict = await self._hold.settle(verdict, policies, shown, is_gone)
            now = time.time()
            steps.over("approve")
            again, after = await self._judged(request, agent, declared, now)
            if not verdict.decision.refused and again.decision.effect is Effect.DENY:
                # What a person permitted is not to be had any more.
                verdict = replace(again, decision=replace(again.decision, id=decision.id))
            if after != plan:
                plan = CHANGED
        credentials: tuple[Credential, ...] = ()
        if plan.objection:
            verdict = refuse(verdict, plan.objection)
        if unknown and not verdict.decision.refused:
            verdict = refuse(verdict, Reason("secret_unavailable", unknown))
        if not verdict.decision.refused:
            try:
                credentials = await self._purse.open(plan, agent, request.authority)
                now = time.time()
                if credentials:
                    steps.over("fetch")
            except SecretUnavailableError as e:
                verdict = refuse(verdict, Reason("secret_unavailable", str(e)))
        return await self._recorder.record(verdict, declared, credentials, now)

    async def _judged(
        self, request: Request, agent: Agent, declared: Declaration, now: float
    ) -> tuple[Verdict, Plan]:
        """What policies say at this moment, and what the call would take along."""
        provider = self.provider_at(request.authority)
        call = await self._described(request, provider, now)
        standing = standing_in(self.installation, agent, declared, now)
        goal = open_goal(agent, call, standing, now)
        plan = plan_for(self.installation, agent, call, goal, now)
        case = Case(
            self._decision_point,
            self._shadow,
            agent,
            declared,
            standing,
            provider,
            plan,
            self.mode_of(agent, call.service),
            now,
        )
        return case.verdict(call, goal), plan

    def redeem(self, verdict: Verdict, capability: Capability, token: str, wire: Wire) -> Secret:
        """Exchange the token that a flow carries for its secret, at the wire.

        Raises broker.TokenError, and SecretUnavailableError for what was taken away since.
        """
        secret = self.broker.redeem(token, wire, time.time())
        authority = verdict.call.request.authority
        self._purse.require_unchanged(
            capability.binding, capability.minted, verdict.agent, authority
        )
        return secret

    async def _unknown(self, authority: Authority) -> str:
        """Why answers of a destination could not be scrubbed; empty when they can."""
        try:
            await self.custody.know(authority)
        except SecretUnavailableError as e:
            return str(e)
        return ""

    def mint(self, verdict: Verdict, body: bytes, content_type: str) -> Taken:
        """Take what an answer hands out; raises ValueError for an answer that cannot be read."""
        if verdict.route is None:
            raise ValueError("nothing is handed out on this route")
        return self.installation.minting.take(
            verdict.agent, verdict.route, verdict.decision.id, body, time.time(), content_type
        )

    async def _described(self, request: Request, provider: Provider | None, now: float) -> Call:
        """What the request is, with the registered server that it goes to, if it goes to one."""
        servers = self.installation.servers
        here, meant = servers.near(request.authority, request.path, now)
        asked = request, provider, meant
        # Reading a large body takes a while, during which the others go on.
        large = len(request.body) > LARGE_BYTES
        call = await asyncio.to_thread(describe, *asked) if large else describe(*asked)
        if here and not call.server:
            call = replace(call, server=here)
        if call.mcp and not call.server and servers.named(call.mcp.server):
            return replace(call, doubt="ambiguous_host: a registered server has this name")
        if not (call.mcp or call.batch):
            return call
        pinned = [self._pinned(one) for one in call.batch]
        return replace(self._pinned(call), batch=tuple(pinned))

    def _pinned(self, call: Call) -> Call:
        """The call with how its tool stands to what was pinned."""
        if not (call.mcp and call.mcp.tool and call.server):
            return call
        pin = self.installation.pins.of(call.server.name, call.mcp.tool)
        return replace(call, mcp=replace(call.mcp, pin=pin))

    def offers(self, verdict: Verdict) -> Offers:
        """What reads the answer to a call to an MCP server."""
        return Offers(verdict, self.installation, partial(self._offered, verdict))

    def _offered(self, verdict: Verdict, call: Call) -> Decision:
        """Decide on what an answer offers, by the policies that are in force now."""
        agent, declared, now = verdict.agent, verdict.declared, time.time()
        return self._decision_point.decide(
            new_id("dec"),
            agent,
            call,
            declared,
            secret=verdict.decision.secret,
            mode=verdict.decision.mode,
            now=now,
            standing=standing_in(self.installation, agent, declared, now),
        )

    def withdrawn(self, verdict: Verdict, now: float) -> str:
        """Say why a call that runs on and on must end; empty when it may go on.

        A goal that is used up has let this very call through, so it does not end it.
        """
        binds = self.mode_of(verdict.agent, verdict.call.service) is Mode.ENFORCE
        if binds and verdict.call.server and (cut := self._cut_off(verdict.call.server, now)):
            return cut
        goal = self.installation.goals.get(verdict.goal) if verdict.goal and binds else None
        if goal is None:
            return ""
        status = goal.standing(verdict.agent.name, verdict.call.action, now)
        ok = status in (Status.ACTIVE, Status.EXHAUSTED)
        return "" if ok else f"the goal {goal.id} is {status}"

    def _cut_off(self, server: Server, now: float) -> str:
        """Say how a server stands that no call may reach any more; empty for any other."""
        try:
            found = self.installation.servers.get(server.name, now)
        except RegistryError:
            return ""
        return f"the server {found.name} is {found.state}" if found.cut_off else ""

    def close(self, verdict: Verdict, outcome: Mapping[str, Any], usage: Usage | None) -> None:
        """Record what became of a call, and count what it used against its goal."""
        self._recorder.close(verdict, outcome, usage)

    def _adopt(self, policies: Policies, intents: Intents) -> None:
        """Put a policy set in force; raise PolicyError when it cannot judge every call (I7)."""
        require_coverage(policies, self.installation.catalogue)
        self._shadow.follow(policies, intents)
        self._decision_point = DecisionPoint(policies, intents)
        announce_policies(self.installation.ledger, policies.digest, len(policies))
