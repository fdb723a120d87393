"""Approvals: the calls that wait for a person."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from interlock.api.access import Asker, Operator, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of, found
from interlock.api.words import UNSAID, Because
from interlock.store.approvals import Approval, Status

router = APIRouter(prefix="/approvals", tags=["approvals"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class ApprovalRecord(BaseModel):
    """What an agent asked to do, and what was said to it. Times are seconds since 1970.

    `told` has the method, authority and path of the call, the size of its body, its model, intent
    and goal, and the policies that ask.
    """

    id: str
    decision_id: str
    agent: str
    action: str
    resource: str
    request_digest: str
    status: Status
    asked_at: float
    expires_at: float
    decided_by: str
    reason: str
    decided_at: float | None
    spent_at: float | None
    told: dict[str, Any]


def record(approval: Approval) -> ApprovalRecord:
    """An approval with the status that holds now."""
    return ApprovalRecord.model_validate(approval.record | {"status": approval.state(time.time())})


@router.get("")
def list_approvals(
    _: Viewer, api: State, every: Annotated[bool, Query(alias="all")] = False
) -> list[ApprovalRecord]:
    """The calls that wait, or the newest 1000, however they ended."""
    approvals = api.records.approvals
    return [record(a) for a in (approvals.all(1000) if every else approvals.pending(time.time()))]


@router.get("/{id}", responses=responses(404))
def show_approval(id: str, _: Viewer, api: State) -> ApprovalRecord:
    """One approval."""
    return record(found(api.records.approvals.get(id), f"approval {id!r}"))


@router.post("/{id}/approve", responses=responses(404, 409))
def approve(id: str, who: Operator, api: State, body: Because = UNSAID) -> ApprovalRecord:
    """Let a waiting call go on: this one request, once."""
    return _decide(api, id, who, body.reason, approved=True)


@router.post("/{id}/deny", responses=responses(404, 409))
def deny(id: str, who: Operator, api: State, body: Because = UNSAID) -> ApprovalRecord:
    """Refuse a waiting call for good."""
    return _decide(api, id, who, body.reason, approved=False)


def _decide(api: Api, id_: str, who: Asker, reason: str, *, approved: bool) -> ApprovalRecord:
    approvals = api.records.approvals
    found(approvals.get(id_), f"approval {id_!r}")
    return record(approvals.decide(id_, approved, who.actor, reason, time.time()))
