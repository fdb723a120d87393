"""What other policies would have said to the calls that the ledger holds.

A row becomes the values again that were decided. It does not hold all of them, so some are taken
for granted: the agent's owner and groups are those of now; a goal that was named is active and
without limits; no delegation was shown; the request asked for no stream, no tools and no number of
tokens; its body had the recorded size, and zeros in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.apdp.case import parse_entity
from interlock.apdp.decision_point import DOUBT, DecisionPoint
from interlock.apdp.standing import Standing
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Mode,
    Request,
    Stage,
    Trust,
)
from interlock.store.goals import Goal

# What these found rests on records of that moment, or on more of the request than a row holds.
UNREPEATABLE_STAGES = frozenset({Stage.IDENTITY, Stage.TRUST, Stage.GOAL, Stage.DELEGATION})
UNREPEATABLE_REASONS = frozenset({DOUBT, "engine", "secret_unavailable", "ledger_unavailable"})


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a decision looks at; `now` is in seconds since the epoch."""

    agent: Agent
    call: Call
    declared: Declaration
    secret: str
    mode: Mode
    now: float

    @property
    def standing(self) -> Standing:
        """The goal that was named, as if active, and no delegation."""
        return Standing(Goal(self.declared.goal) if self.declared.goal else None)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision of the ledger that can be repeated; `refused` says that the call did not leave."""

    id: str
    situation: Situation
    effect: Effect
    stage: Stage
    refused: bool


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

    `agent` is what the registry knows of the caller now, `secret` the one that the call needed.
    None for a decision that the row is not enough to repeat, or that cannot be read.
    """
    try:
        return _recall(event, event["body"], agent, secret)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _recall(
    event: Mapping[str, Any], body: Mapping[str, Any], agent: Agent, secret: str
) -> Recorded | None:
    stage = Stage(body["stage"])
    reasons = {policy_id for policy_id, _ in body["reasons"]}
    if stage in UNREPEATABLE_STAGES or reasons & UNREPEATABLE_REASONS:
        return None
    effect = Effect(body["effect"])
    situation = Situation(
        replace(agent, trust=Trust(body["trust"])),
        _call(body),
        Declaration(body["intent"], body["intent_category"], body["goal"]),
        secret,
        Mode(body["mode"]),
        event["ts"],
    )
    # What a person answered later is not what the policies said.
    said = Effect.NEEDS_APPROVAL if stage is Stage.APPROVAL else effect
    refused = body["enforced"] and effect is not Effect.ALLOW
    return Recorded(event["decision_id"], situation, said, stage, refused)


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
