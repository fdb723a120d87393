"""Sessions: runs of an agent whose declaration is pinned."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from interlock.api.access import Operator, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import UNSAID, Because, Body, Name, Seconds, Text
from interlock.delegation import LONGEST
from interlock.errors import RegistryError
from interlock.model import Declaration
from interlock.registry.sessions import Session

DEFAULT_TTL_S = 8 * 3600.0
router = APIRouter(prefix="/sessions", tags=["sessions"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class NewSession(Body):
    """A session that is to be started."""

    agent: Name
    intent: Text = ""
    intent_category: Text = ""
    goal: Text = ""
    delegation: Annotated[str, StringConstraints(max_length=LONGEST)] = ""
    ttl_s: Seconds = DEFAULT_TTL_S


class SessionRecord(BaseModel):
    """A session; `delegation` says whether it pins a chain. Times are seconds since 1970."""

    id: str
    agent: str
    state: str = Field(description="`open`, `expired` or `ended`.")
    intent: str
    intent_category: str
    goal: str
    delegation: bool
    started_at: float
    expires_at: float
    ended_at: float | None


class StartedSession(SessionRecord):
    """A new session with its token, which is told this once."""

    token: str


def record(session: Session) -> SessionRecord:
    """A session as it stands now."""
    return SessionRecord.model_validate(session.record | {"state": session.state(time.time())})


@router.get("")
def list_sessions(_: Viewer, api: State) -> list[SessionRecord]:
    """Every session that is kept: those that are over, for a week."""
    return [record(session) for session in api.records.sessions.all()]


@router.post("", status_code=201, responses=responses(409))
def start_session(body: NewSession, _: Operator, api: State) -> StartedSession:
    """Start a session; its token is in the answer, this once."""
    pinned = Declaration(body.intent, body.intent_category, body.goal, body.delegation)
    session, token = api.records.start_session(body.agent, pinned, ttl=body.ttl_s, now=time.time())
    return StartedSession(**record(session).model_dump(), token=token)


@router.get("/{id}", responses=responses(404))
def show_session(id: str, _: Viewer, api: State) -> SessionRecord:
    """One session."""
    return record(_known(api, id))


@router.post("/{id}/end", responses=responses(404, 409))
def end_session(id: str, _: Operator, api: State, body: Because = UNSAID) -> SessionRecord:
    """End a session: its token proves nothing any more, its connections are cut."""
    return record(api.records.sessions.end(_known(api, id).id, time.time(), body.reason))


def _known(api: Api, id_: str) -> Session:
    try:
        return api.records.sessions.get(id_)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None
