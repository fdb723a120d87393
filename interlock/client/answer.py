"""The answer to a question: may it, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """`effect` is `allow`, `deny` or `needs_approval`; `reasons` are pairs of policy and words.

    `enforced` is false in observe mode, in which a front door records a denial and goes on.
    """

    effect: str
    reasons: tuple[tuple[str, str], ...]
    enforced: bool
    decision_id: str

    @property
    def allowed(self) -> bool:
        """True when the policies permit it. Anything else is no."""
        return self.effect == "allow"


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read the body of an answer; raises KeyError, TypeError or ValueError."""
    allowed = body["decision"] == "allow" and body["effect"] == "allow"
    return Answer(
        "allow" if allowed else "needs_approval" if body["effect"] == "needs_approval" else "deny",
        tuple((one["policy_id"], one["description"]) for one in body["reasons"]),
        body["mode"] == "enforce",
        body["decision_id"],
    )
