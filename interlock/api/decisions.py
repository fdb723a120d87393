"""`POST /authorize`: may it? An agent asks for itself, an operator or a service for anyone."""

import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from interlock.apdp.authorize import Asked, QuestionError, Ruling, authorize, read_question
from interlock.apdp.standing import Standing
from interlock.api.access import Asker, Inquirer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Body, Json
from interlock.declaration import declare, standing_in
from interlock.errors import RegistryError
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import Agent, Effect, Mode, Server

DECLARED = ("intent", "intent_category", "goal", "delegation")
router = APIRouter(tags=["decisions"], responses=responses())
State = Annotated[Api, Depends(api_of)]
Entity = Annotated[str, Field(max_length=4096)] | Json


class Question(Body):
    """A question in Cedar's words: `Agent::"a"`, `Action::"chat"` or `chat`, `Model::"m"`.

    Of an agent that asks for itself, `intent`, `intent_category`, `goal`, a signed `delegation`
    and what it says of its own call are taken from the context; how goal and delegation stand
    is looked up.
    """

    principal: Entity
    action: Entity
    resource: Entity
    context: Json | None = None


class Why(BaseModel):
    """One policy, or one of our own rules, that settled the answer."""

    policy_id: str
    description: str


class Diagnostics(BaseModel):
    """How the answer was reached."""

    policies_evaluated: int
    policies_applicable: int
    evaluation_time_ms: float


class Answer(BaseModel):
    """The answer. What waits for a person is a `deny` whose `effect` is `needs_approval`."""

    decision: str
    reasons: list[Why]
    diagnostics: Diagnostics
    effect: Effect
    mode: Mode = Field(description="In `observe` a front door records a denial and goes on.")
    decision_id: str = Field(description="Of the event in the ledger.")


@router.post("/authorize")
def ask(body: Question, who: Inquirer, api: State) -> Answer:
    """Ask the policies in force. Nothing is spent, no credential is given; it is recorded."""
    now = time.time()
    question = body.model_dump()
    standing = _own(api, who.agent, question, now) if who.agent else None
    asked = read_question(question)
    if who.agent and (asked.principal.type, asked.principal.id) != ("Agent", who.name):
        raise HTTPException(403, "an agent asks for itself alone")
    agent = who.agent or _agent(api, asked, now)
    mode = _mode(api, agent, asked)
    ruling = authorize(
        asked,
        *api.policies(),
        agent,
        mode=mode,
        now=now,
        server=_server(api, asked, now),
        standing=standing,
    )
    event = Event(new_id("ask"), now, "question", agent.name if agent else "")
    told = replace(event, body=_told(who, asked, ruling, mode))
    ledger = api.records.ledger
    # It is waited for: the answer names the event, which may be asked for at once.
    ledger.change(lambda connection: ledger.append(connection, [told]))
    known = {"effect": ruling.effect, "mode": mode, "decision_id": event.id}
    return Answer.model_validate(ruling.as_json() | known)


def _own(api: Api, agent: Agent, question: dict[str, Any], now: float) -> Standing:
    """What the records say to the declaration of an agent, which is put as it holds."""
    context = question["context"] or {}
    said = {name: context.pop(name, "") for name in DECLARED}
    context.pop("delegation_chain", None)
    if odd := next((name for name, value in said.items() if not isinstance(value, str)), None):
        raise QuestionError(f"context.{odd}: is not a text")
    declared = declare(agent, said)
    question["context"] = context | {
        "intent": declared.intent,
        "intent_category": declared.intent_category,
        "goal": declared.goal,
    }
    return standing_in(api.records, agent, declared, now)


def _agent(api: Api, asked: Asked, now: float) -> Agent | None:
    """What the registry knows of a principal; None for a stranger."""
    if asked.principal.type != "Agent":
        return None
    try:
        return api.records.registry.get(asked.principal.id, now)
    except RegistryError:
        return None


def _server(api: Api, asked: Asked, now: float) -> Server | None:
    """What the registry knows of a resource that is a server."""
    if asked.resource.type != "McpServer":
        return None
    try:
        return api.records.servers.get(asked.resource.id, now)
    except RegistryError:
        return None


def _mode(api: Api, agent: Agent | None, asked: Asked) -> Mode:
    service = asked.resource.id if asked.resource.type == "Service" else ""
    everywhere = api.records.settings.mode
    return api.records.modes.of(everywhere, agent or Agent(asked.principal.id), service)


def _told(who: Asker, asked: Asked, ruling: Ruling, mode: Mode) -> dict[str, Any]:
    """What the ledger keeps of a question: no value of its context but the declared reason."""
    return {
        "asker": who.actor,
        "principal": str(asked.principal),
        "action": asked.action,
        "resource": str(asked.resource),
        "effect": ruling.effect,
        "mode": mode,
        "reasons": [[reason.policy_id, reason.description] for reason in ruling.reasons],
        "intent": asked.said.get("intent", ""),
        "goal": asked.said.get("goal", ""),
    }
