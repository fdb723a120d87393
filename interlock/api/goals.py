"""Goals: what agents work for, until when, and how much it may take."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from interlock.api.access import Operator, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of, found
from interlock.api.words import UNSAID, Because, Body, Name, Names, Seconds, Text
from interlock.errors import RegistryError
from interlock.store.goals import UNLIMITED, Goal, Status

router = APIRouter(tags=["goals"], responses=responses())
State = Annotated[Api, Depends(api_of)]
Count = Annotated[int, Field(gt=0, le=UNLIMITED)]
Cost = Annotated[float, Field(gt=0, le=UNLIMITED, allow_inf_nan=False)]
Move = Literal["activate", "pause", "complete", "cancel"]
MOVES = {
    "activate": Status.ACTIVE,
    "pause": Status.PAUSED,
    "complete": Status.COMPLETED,
    "cancel": Status.CANCELLED,
}


class Limits(Body):
    """What a goal may take; null for no limit."""

    max_actions: Count | None = None
    max_tokens: Count | None = None
    max_cost_usd: Cost | None = None


class NewGoal(Limits):
    """A goal that is to be set. Empty `agents` and `actions` mean any."""

    id: Name
    title: Text = ""
    owner: Text = ""
    agents: Names = []
    actions: Names = []
    draft: bool = False
    starts_in_s: Seconds | None = None
    expires_in_s: Seconds | None = None


class More(Limits):
    """More time or higher limits: the new totals."""

    expires_in_s: Seconds | None = None


class GoalRecord(BaseModel):
    """A goal, what is used of it, and how it stands now. Times are seconds since 1970."""

    id: str
    title: str
    owner: str
    agents: list[str]
    actions: list[str]
    status: Status
    starts_at: float | None
    expires_at: float | None
    max_actions: int | None
    max_tokens: int | None
    max_cost_usd: float | None
    used_actions: int
    used_tokens: int
    used_cost_usd: float


def record(goal: Goal) -> GoalRecord:
    """A goal with the status that holds now."""
    return GoalRecord.model_validate(goal.record | {"status": goal.state(time.time())})


@router.get("/goals")
def list_goals(_: Viewer, api: State) -> list[GoalRecord]:
    """Every goal."""
    return [record(goal) for goal in api.records.goals.all()]


@router.post("/goals", status_code=201, responses=responses(409))
def add_goal(body: NewGoal, _: Operator, api: State) -> GoalRecord:
    """Set a goal; agents may work for it at once, unless it is a draft or starts later."""
    now = time.time()
    try:
        for name in body.agents:
            api.records.registry.get(name)
    except RegistryError as e:
        raise HTTPException(409, str(e)) from None
    goal = Goal(
        body.id,
        body.title,
        body.owner,
        frozenset(body.agents),
        frozenset(body.actions),
        Status.DRAFT if body.draft else Status.ACTIVE,
        body.starts_in_s and now + body.starts_in_s,
        body.expires_in_s and now + body.expires_in_s,
        body.max_actions,
        body.max_tokens,
        body.max_cost_usd,
    )
    api.records.goals.add(goal)
    return record(goal)


@router.get("/goals/{id}", responses=responses(404))
def show_goal(id: str, _: Viewer, api: State) -> GoalRecord:
    """One goal."""
    return record(found(api.records.goals.get(id), f"goal {id!r}"))


@router.patch("/goals/{id}", responses=responses(404, 409))
def extend_goal(id: str, body: More, _: Operator, api: State) -> GoalRecord:
    """Give a goal more time or higher limits."""
    found(api.records.goals.get(id), f"goal {id!r}")
    ends = body.expires_in_s and time.time() + body.expires_in_s
    more = body.model_dump(exclude={"expires_in_s"})
    return record(api.records.goals.extend(id, expires_at=ends, **more))


@router.post("/goals/{id}/{move}", responses=responses(404, 409))
def move_goal(id: str, move: Move, _: Operator, api: State, body: Because = UNSAID) -> GoalRecord:
    """Let agents work for a goal, pause it, or close it for good."""
    found(api.records.goals.get(id), f"goal {id!r}")
    return record(api.records.goals.set_status(id, MOVES[move], body.reason))
