"""Delegations: the keys that may sign, chains that are verified, links that are taken back."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, StringConstraints
from starlette.exceptions import HTTPException

from interlock.api.access import Admin, Inquirer, Operator, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import UNSAID, Because, Body, Done, Name, Text
from interlock.delegation import (
    LONGEST,
    DelegationError,
    format_public_key,
    parse_holder,
    parse_public_key,
)
from interlock.errors import RegistryError

router = APIRouter(prefix="/delegations", tags=["delegations"], responses=responses())
State = Annotated[Api, Depends(api_of)]
LinkId = Annotated[str, StringConstraints(pattern=r"^dlg_[0-9a-f]{20}$")]


class KeyRecord(BaseModel):
    """A public key, and whose it is (`User::"ada"`). Times are seconds since 1970."""

    kid: str
    holder: str
    public: str
    revoked_at: float | None


class NewKey(Body):
    """The public half of a pair, as `interlock key list` prints it."""

    holder: Text
    public: Text


class Shown(Body):
    """A chain, and the agent that would call with it; an agent may leave itself out."""

    chain: Annotated[str, StringConstraints(max_length=LONGEST)]
    agent: Name | None = None


class Verified(BaseModel):
    """What a chain lets its last agent do; `problem` says why it does not hold."""

    valid: bool
    problem: str = ""
    depth: int = 0
    delegated_by: str = ""
    actors: list[str] = []
    ids: list[str] = []
    actions: list[str] = []
    resources: list[str] = []
    expires_at: float | None = None


@router.get("/keys")
def list_keys(_: Viewer, api: State) -> list[KeyRecord]:
    """Every key that signed, the revoked ones too."""
    return [
        KeyRecord(
            kid=kid,
            holder=str(key.holder),
            public=format_public_key(key.key),
            revoked_at=key.revoked_at,
        )
        for kid, key in api.records.delegations.keys.items()
    ]


@router.post("/keys", status_code=201, responses=responses(409))
def add_key(body: NewKey, _: Admin, api: State) -> KeyRecord:
    """Let a key sign for a user or an agent."""
    try:
        holder, key = parse_holder(body.holder), parse_public_key(body.public)
    except ValueError as e:
        raise HTTPException(400, f"body: {e}") from None
    if holder.type == "Agent":
        api.records.registry.get(holder.id)
    kid = api.records.delegations.add_key(holder, key)
    return KeyRecord(kid=kid, holder=str(holder), public=format_public_key(key), revoked_at=None)


@router.post("/keys/{kid}/revoke", responses=responses(404))
def revoke_key(kid: str, _: Admin, api: State, body: Because = UNSAID) -> Done:
    """End a key for good, and with it every delegation that it signed."""
    try:
        api.records.delegations.revoke_key(kid, body.reason)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None
    return Done()


@router.post("/verify")
def verify_chain(body: Shown, who: Inquirer, api: State) -> Verified:
    """Check a chain as the front door does."""
    agent = body.agent or (who.name if who.agent else "")
    if who.agent and agent != who.name:
        raise HTTPException(403, "an agent asks for itself alone")
    try:
        chain = api.records.verify_delegation(agent, body.chain, time.time())
    except (DelegationError, RegistryError) as e:
        return Verified(valid=False, problem=str(e))
    return Verified(
        valid=True,
        depth=chain.depth,
        delegated_by=str(chain.delegated_by),
        actors=[str(actor) for actor in chain.actors],
        ids=list(chain.ids),
        actions=list(chain.scope.actions),
        resources=list(chain.scope.resources),
        expires_at=chain.scope.expires,
    )


@router.post("/{id}/revoke", responses=responses(409))
def revoke_link(id: LinkId, _: Operator, api: State, body: Because = UNSAID) -> Done:
    """Take a link back, and with it every chain that it is in."""
    api.records.delegations.revoke_link(id, body.reason)
    return Done()
