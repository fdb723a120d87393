"""The ledger: what was asked, decided and done, as it stands there."""

from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from interlock.api.access import Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Text
from interlock.ledger import Archive
from interlock.ledger.past import Past
from interlock.ledger.question import Question

router = APIRouter(prefix="/ledger", tags=["ledger"], responses=responses())
State = Annotated[Api, Depends(api_of)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Moment = Annotated[float, Query(ge=0, le=1e12, description="Seconds since 1970.")]


class EventRecord(BaseModel):
    """One row of the ledger; `ts` is seconds since 1970."""

    node: str
    seq: int
    id: str
    ts: float
    kind: str
    agent: str | None
    decision_id: str | None
    body: dict[str, Any]
    prev: str
    hash: str


@router.get("/events")
def events(_: Viewer, api: State, limit: Limit = 100) -> list[EventRecord]:
    """The newest events, oldest first."""
    return [EventRecord.model_validate(event) for event in api.records.ledger.tail(limit)]


@router.get("/decisions")
def decisions(
    _: Viewer,
    api: State,
    agent: Annotated[Text, Query()] = "",
    decision: Annotated[Literal["", "allow", "deny", "would_deny", "needs_approval"], Query()] = "",
    host: Annotated[Text, Query()] = "",
    goal: Annotated[Text, Query()] = "",
    user: Annotated[Text, Query()] = "",
    since: Moment = 0.0,
    until: Moment = 1e12,
    limit: Limit = 100,
    pruned: Annotated[bool, Query(description="Those in the archive too; takes longer.")] = False,
) -> list[EventRecord]:
    """The decisions that fit, oldest first; for more, ask on from the last `ts`."""
    question = Question(agent, decision, host, goal, user, since, until)
    rows = islice(api.records.ledger.query(question, _past(api) if pruned else None), limit)
    return [EventRecord.model_validate(row) for row in rows]


@router.get("/{reference}", responses=responses(404))
def story(reference: str, _: Viewer, api: State) -> list[EventRecord]:
    """Every event of one decision, or the one event with that id, from the archive if need be."""
    if found := api.records.ledger.of(reference, _past(api)):
        return [EventRecord.model_validate(event) for event in found]
    raise HTTPException(404, "there is no such decision or event")


def _past(api: Api) -> Past:
    return api.records.ledger.past(Archive(api.records.settings.archive))
