"""One question in the form of the reference product: principal, action, resource and context.

The policies alone are asked, as in a test case: who asks, and whether what is said about goal and
delegation is true, is for the caller to know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cedarpy

from interlock.apdp.context import KINDS, misfit, unwritable
from interlock.apdp.decision_point import DecisionPoint
from interlock.apdp.entities import context_of, entities_of_call, uid
from interlock.apdp.intents import Intents
from interlock.apdp.policies import Policies
from interlock.errors import InterlockError
from interlock.model import Agent, Authority, Call, Declaration, Effect, Entity, Mode, Reason, Request

_ENTITY = re.compile(r'(?P<type>\w+)::"(?P<id>(?:[^"\\]|\\["\\])*)"', re.ASCII)
_BARE = re.compile(r"\w+", re.ASCII)
_FIELDS = ("principal", "action", "resource", "context")
LONGEST = 1024


class QuestionError(InterlockError):
    """A question that cannot be put to the policies; the message names the field."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; `context` has only what the asker said."""

    principal: Entity
    action: str
    resource: Entity
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer, with the policies that gave it and how many were looked at."""

    effect: Effect
    reasons: tuple[Reason, ...]
    evaluated: int
    applicable: int

    def as_json(self, took_ms: float) -> dict[str, Any]:
        """The answer in the form of the reference product."""
        return {
            "decision": "allow" if self.effect is Effect.ALLOW else "deny",
            "reasons": [
                {"policy_id": reason.policy_id, "description": reason.description}
                for reason in self.reasons
            ],
            "diagnostics": {
                "policies_evaluated": self.evaluated,
                "policies_applicable": self.applicable,
                "evaluation_time_ms": took_ms,
            },
        }
