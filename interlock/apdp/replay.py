"""What other policies would have said to the calls that the ledger holds.

A row becomes the values again that were decided; only the body has but its size, and zeros in it.
What records settled stays as it was: trust, how the goal stood, whether the delegation held. The
intent is judged anew.

A row without facts, as older versions wrote them, is replayed approximately: the agent's owner and
groups are those of now; a goal that was named is active and without limits; no delegation was
shown; the request asked for no stream, no tools and no number of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.apdp.case import parse_entity
from interlock.apdp.decision_point import DOUBT, DecisionPoint
from interlock.apdp.facts import server_of, standing_of
from interlock.apdp.standing import NOTHING_SHOWN, Standing
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Message,
    Mode,
    Pin,
    Reason,
    Request,
    Stage,
    Trust,
)
from interlock.store.goals import Goal

# These took the place of what the policies said.
LATER_REASONS = frozenset({"secret_unavailable", "ledger_unavailable"})
# What these found rests on more than a row without facts holds.
UNTOLD_STAGES = frozenset({Stage.IDENTITY, Stage.TRUST, Stage.GOAL, Stage.DELEGATION})
UNTOLD_REASONS = LATER_REASONS | {DOUBT, "engine"}


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a decision looks at; `now` is in seconds since the epoch."""

    agent: Agent
    call: Call
    declared: Declaration
    secret: str
    mode: Mode
    now: float
    standing: Standing = NOTHING_SHOWN


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision of the ledger; `refused` says that the call did not leave.

    `approximate`: the row does not hold all that was decided on. `superseded`: what the policies
    said is not in the row, because the call then failed for another reason.
    """

    id: str
    situation: Situation
    effect: Effect
    stage: Stage
    refused: bool
    reasons: tuple[Reason, ...] = ()
    approximate: bool = False
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded decision beside the one that other policies would have made."""

    recorded: Recorded
    decision: Decision

    @property
    def changed(self) -> bool:
        """True for another effect; the same for another reason is no change."""
        return self.recorded.effect is not self.decision.effect


def replay(point: DecisionPoint, recorded: Recorded) -> Replayed:
    """Decide a recorded call once more."""
    return Replayed(recorded, decide(point, recorded.situation, recorded.id))


def decide(point: DecisionPoint, situation: Situation, id_: str = "") -> Decision:
    """Put a whole situation to a decision point."""
    return point.decide(
        id_,
        situation.agent,
        situation.call,
        situation.declared,
        secret=situation.secret,
        mode=situation.mode,
        now=situation.now,
        standing=situation.standing,
    )


def recall(event: Mapping[str, Any], agent: Agent, secret: str) -> Recorded | None:
    """Turn a decision row of the ledger back into what was decided.

    `agent` is what the registry knows of the caller now, `secret` the one that the call needed;
    they matter only to a row that does not tell. None for a decision that the row is not enough
    to repeat, or that cannot be read.
    """
    try:
        return _recall(event, event["body"], agent, secret)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _recall(
    event: Mapping[str, Any], body: Mapping[str, Any], agent: Agent, secret: str
) -> Recorded | None:
    stage, effect = Stage(body["stage"]), Effect(body["effect"])
    reasons = tuple(Reason(id_, said) for id_, said in body["reasons"])
    ids = {reason.policy_id for reason in reasons}
    facts = body.get("facts")
    if facts is None and (stage in UNTOLD_STAGES or ids & UNTOLD_REASONS):
        return None
    return Recorded(
        event["decision_id"],
        _untold(event, body, agent, secret) if facts is None else _told(event, body, facts),
        # What a person answered later is not what the policies said.
        Effect.NEEDS_APPROVAL if stage is Stage.APPROVAL else effect,
        stage,
        body["enforced"] and effect is not Effect.ALLOW,
        reasons,
        approximate=facts is None or "tools_left_out" in facts,
        superseded=bool(ids & LATER_REASONS),
    )


def _told(event: Mapping[str, Any], body: Mapping[str, Any], facts: Mapping[str, Any]) -> Situation:
    """The situation of a row that holds the facts."""
    agent = Agent(
        event["agent"],
        facts.get("owner", ""),
        tuple(facts.get("groups", ())),
        Trust(body["trust"]),
        lapsed=facts.get("lapsed", False),
        session=facts.get("session", ""),
    )
    call = replace(
        _call(body),
        stream=facts.get("stream", False),
        tools=tuple(facts.get("tools", ())),
        max_tokens=facts.get("max_tokens", 0),
        doubt=facts.get("doubt", ""),
        server=server_of(facts),
        mcp=Message("", "", pin=Pin(facts["pin"])) if "pin" in facts else None,
    )
    return Situation(
        agent,
        call,
        _declared(body),
        facts.get("secret", ""),
        Mode(body["mode"]),
        facts.get("decided_at", event["ts"]),
        standing_of(facts, body["goal"]),
    )


def _untold(
    event: Mapping[str, Any], body: Mapping[str, Any], agent: Agent, secret: str
) -> Situation:
    """The situation of an older row, as far as it goes."""
    who, mode = replace(agent, trust=Trust(body["trust"])), Mode(body["mode"])
    standing = Standing(Goal(body["goal"]) if body["goal"] else None)
    return Situation(who, _call(body), _declared(body), secret, mode, event["ts"], standing)


def _declared(body: Mapping[str, Any]) -> Declaration:
    return Declaration(body["intent"], body["intent_category"], body["goal"])


def _call(body: Mapping[str, Any]) -> Call:
    host, _, port = body["authority"].rpartition(":")
    request = Request(
        body["method"],
        "https",
        Authority(host.strip("[]"), int(port)),
        body["path"],
        bytes(body["body_bytes"]),
        source_ip=body["source_ip"],
    )
    return Call(
        body["service"],
        body["action"],
        parse_entity(body["resource"]),
        request,
        bytes.fromhex(body["body_sha256"]),
        body["model"],
    )
