"""Is it alive, is it ready, and how does it stand?"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from interlock import __version__
from interlock.api.access import Anybody, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.model import Mode
from interlock.registry import Role

router = APIRouter(tags=["status"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class Health(BaseModel):
    """That it answers."""

    status: str = "ok"


class Who(BaseModel):
    """Whose proof it is: `role` of a token, null for an agent; `session` of its token."""

    name: str
    role: Role | None
    session: str | None


class Status(BaseModel):
    """How this installation stands."""

    status: str
    version: str
    mode: Mode
    policy_set: str
    policies: int
    agents: int
    servers: int
    events: int


@router.head("/health", include_in_schema=False)
@router.get("/health")
def health() -> Health:
    """Answer, whatever state the rest is in."""
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
def ready(api: State) -> Health:
    """Answer when the store can be read; 503 when not."""
    api.records.database.one("select 1")
    return Health(status="ready")


@router.get("/whoami")
def whoami(who: Anybody) -> Who:
    """Say whose proof was sent."""
    session = who.agent.session if who.agent else ""
    return Who(name=who.name, role=who.role, session=session or None)


@router.get("/status")
def status(_: Viewer, api: State) -> Status:
    """Version, mode, policies, and how much there is."""
    records, (policies, _intents) = api.records, api.policies()
    return Status(
        status="ok",
        version=__version__,
        mode=records.settings.mode,
        policy_set=policies.digest,
        policies=len(policies),
        agents=records.registry.count(),
        servers=len(records.servers.all()),
        events=records.ledger.newest()[0],
    )
