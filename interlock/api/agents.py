"""Agents: register, hear of, vouch for, cut off."""

import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from interlock.api.access import Admin, Asker, Living, Operator, Registrar, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Because, Body, Done, Json, Labels, Name, Names, Seconds, Text, Texts
from interlock.errors import RegistryError
from interlock.inventory import GROUP
from interlock.model import Agent, Trust
from interlock.registry import Lease, Profile, Role
from interlock.registry.leases import health_of
from interlock.registry.profile import Seen, count_told_by

DEFAULT_TTL_S = 90.0
# So many agents and servers one scanner registers: one that is broken into fills no registry.
MOST_FOUND = 20_000
router = APIRouter(tags=["agents"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class Description(Body):
    """What is known of an agent beside who it is; nothing of it lets a call through."""

    agent_type: Text = Field(default="", description="Such as `autonomous`.")
    description: Text = ""
    framework: Text = ""
    version: Text = ""
    labels: Labels = {}
    capabilities: Json = {}
    endpoints: Texts = []
    signals: Texts = Field(default=[], description="Ids of risks that were seen.")
    evidence: Json = Field(default={}, description="What it was recognised by.")

    def profile(self, source: str) -> Profile:
        """The same as the registry keeps it."""
        return Profile(
            type=self.agent_type,
            description=self.description,
            framework=self.framework,
            version=self.version,
            labels=self.labels,
            capabilities=self.capabilities,
            endpoints=tuple(self.endpoints),
            signals=tuple(self.signals),
            evidence=self.evidence,
            source=source,
        )


class NewAgent(Description):
    """An agent that is to be registered."""

    name: Name
    owner: Text = ""
    groups: Texts = []
    intent: Text = ""
    intent_category: Text = ""
    goal: Text = ""
    trust: Trust = Field(default=Trust.UNVERIFIED, description="`trusted` takes an operator.")
    ttl_s: Seconds | None = Field(
        default=DEFAULT_TTL_S,
        description="For so long it is good without a heartbeat; null for ever, by an operator.",
    )


class AgentRecord(BaseModel):
    """An agent as it is known. Times are seconds since 1970; `lease` is null for one without."""

    name: str
    owner: str
    groups: list[str]
    trust: Trust
    state: str = Field(description="Its trust, or `lapsed` when its lease is over.")
    lease: str | None = Field(description="`live`, `stale` or `lapsed`.")
    lease_s: float | None
    lapses_at: float | None
    intent: str
    intent_category: str
    goal: str
    agent_type: str
    description: str
    framework: str
    version: str
    labels: dict[str, str]
    capabilities: dict[str, Any]
    endpoints: list[str]
    signals: list[str]
    evidence: dict[str, Any]
    source: str
    health: str
    first_seen: float
    last_seen: float


class RegisteredAgent(AgentRecord):
    """A new agent with its key, which is told this once."""

    id: str
    api_key: str


class Heartbeat(Body):
    """Who lives; an agent says it of itself alone, and may leave the names out."""

    names: Names = []


NOBODY_NAMED = Heartbeat()


class Heard(BaseModel):
    """How many heartbeats were noted."""

    count: int


class TrustChange(Because):
    """Where to, and why."""

    trust: Trust


class NewKey(BaseModel):
    """A key that is told this once."""

    name: str
    api_key: str


def record(api: Api, agent: Agent) -> AgentRecord:
    """All that is known of an agent now."""
    registry = api.records.registry
    return _record(registry.get(agent.name), registry.lease(agent.name), registry.seen(agent.name))


def _record(agent: Agent, lease: Lease | None, seen: Seen) -> AgentRecord:
    now = time.time()
    told = seen.record | {"health": health_of(seen, lease, now)}
    agent = replace(agent, lapsed=lease is not None and lease.over(now))
    return AgentRecord.model_validate(
        {name: told[name] for name in AgentRecord.model_fields if name in told}
        | {
            "name": agent.name,
            "owner": agent.owner,
            "groups": list(agent.groups),
            "trust": agent.trust,
            "state": agent.state,
            "lease": lease and lease.state(now),
            "lease_s": lease and lease.seconds,
            "lapses_at": lease and lease.ends_at,
            "intent": agent.intent,
            "intent_category": agent.intent_category,
            "goal": agent.goal,
            "agent_type": told["type"],
        }
    )


def known(api: Api, name: str) -> Agent:
    """The agent of that name; raises 404."""
    try:
        return api.records.registry.get(name)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None


def require_room(api: Api, who: Asker) -> None:
    """Raise 409 for a scanner that has registered as many as one may."""
    if who.role is not Role.SCANNER:
        return
    sources = (who.actor, scanner_source(who.name))
    count = api.records.database.read(lambda c: count_told_by(c, *sources))
    if count >= MOST_FOUND:
        said = f"{who.actor} has registered {count} agents and servers, and may no more"
        raise HTTPException(409, said)


def scanner_source(name: str) -> str:
    """The source of the servers that a scanner registers."""
    return f"scanner:{name}"


@router.post("/api/v1/agents/register", status_code=201, responses=responses(409))
def register(body: NewAgent, who: Registrar, api: State) -> RegisteredAgent:
    """Register an agent; its key is in the answer, this once."""
    vouched = body.trust is not Trust.UNVERIFIED or body.owner or body.groups
    if who.role is Role.SCANNER and (vouched or body.ttl_s is None):
        said = "a scanner vouches for nobody: leave out trust, owner and groups, and give a ttl_s"
        raise HTTPException(403, said)
    require_room(api, who)
    agent = Agent(
        body.name,
        body.owner,
        (GROUP,) if who.role is Role.SCANNER else tuple(dict.fromkeys(body.groups)),
        body.trust,
        body.intent,
        body.intent_category,
        body.goal,
    )
    profile = body.profile(who.actor)
    key = api.records.registry.add(agent, lease_s=body.ttl_s, profile=profile)
    shown = record(api, agent).model_dump()
    return RegisteredAgent(**shown, id=agent.name, api_key=key)


@router.get("/agents")
def list_agents(
    _: Viewer, api: State, trust: Annotated[Trust | None, Query()] = None
) -> list[AgentRecord]:
    """Every agent, or those of one trust state."""
    leases, seen = api.records.registry.details()
    return [
        _record(agent, leases.get(agent.name), seen.get(agent.name, Seen()))
        for agent in api.records.registry.all()
        if trust in (None, agent.trust)
    ]


@router.get("/agents/{name}", responses=responses(404))
def show_agent(name: str, _: Viewer, api: State) -> AgentRecord:
    """One agent."""
    return record(api, known(api, name))


@router.put("/agents/{name}", responses=responses(404))
def describe_agent(name: str, body: Description, who: Registrar, api: State) -> AgentRecord:
    """Take up what is new of an agent, which is a heartbeat too; who it is and its trust stay."""
    agent = known(api, name)
    registry = api.records.registry
    if who.role is Role.SCANNER and not registry.told_by(who.actor, [name]):
        raise HTTPException(403, f"agent {name!r} was registered by another")
    source = registry.seen(name).profile.source or who.actor
    registry.describe(name, body.profile(source), time.time())
    api.beat("agent", [name])
    return record(api, agent)


@router.delete("/agents/{name}", responses=responses(404))
def remove_agent(name: str, _: Admin, api: State) -> Done:
    """Forget an agent, its keys and its sessions; what it did stays in the ledger."""
    api.records.registry.remove(known(api, name).name)
    return Done()


@router.post("/agents/{name}/trust", responses=responses(404, 409))
def move_agent(name: str, body: TrustChange, _: Operator, api: State) -> AgentRecord:
    """Vouch for an agent, or cut it off."""
    agent = known(api, name)
    api.records.registry.set_trust(name, body.trust, body.reason)
    return record(api, agent)


@router.post("/agents/{name}/rotate", responses=responses(404))
def rotate_agent(name: str, _: Operator, api: State) -> NewKey:
    """Replace the key of an agent; the old one and its sessions end at once."""
    return NewKey(name=name, api_key=api.records.registry.rotate_key(known(api, name).name))


@router.post("/api/v1/agents/heartbeat")
def hear_of_agents(who: Living, api: State, body: Heartbeat = NOBODY_NAMED) -> Heard:
    """Renew the leases of agents; names that are not registered are passed over.

    For a scanner, so are those that it did not register itself.
    """
    if who.agent is not None:
        if set(body.names) - {who.name}:
            raise HTTPException(403, "an agent speaks for itself alone")
        names = [who.name]
    else:
        registry = api.records.registry
        names = [name for name in body.names if registry.has(name)]
        if who.role is Role.SCANNER:
            names = sorted(registry.told_by(who.actor, names))
    api.beat("agent", names)
    return Heard(count=len(names))
