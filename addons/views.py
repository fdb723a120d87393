"""What people see: a comment and a marker on each flow, one line a decision in the log."""

from mitmproxy import http

from interlock.model import Effect
from interlock.verdict import Verdict

_MARKERS = {"allow": ":green_circle:", "deny": ":red_circle:", "needs_approval": ":hourglass:"}
WOULD_DENY_MARKER = ":yellow_circle:"


def show(flow: http.HTTPFlow, verdict: Verdict) -> str:
    """Write on the flow what was decided and why, and answer the line that says so.

    Plain values only, for every viewer.
    """
    decision, label = verdict.decision, verdict.decision.label
    flow.comment = line(verdict)
    flow.marked = _MARKERS.get(label, WOULD_DENY_MARKER)
    flow.metadata["interlock_decision"] = label
    flow.metadata["interlock_decision_id"] = decision.id
    flow.metadata["interlock_agent"] = verdict.agent.name
    flow.metadata["interlock_errors"] = verdict.provider.errors if verdict.provider else ""
    return flow.comment


def line(verdict: Verdict) -> str:
    """One line, without anything that could break a terminal."""
    decision, call = verdict.decision, verdict.call
    why = decision.why if decision.effect is not Effect.ALLOW else _policies(verdict)
    judged = f"{decision.label} {verdict.agent.name}: {call.action} {call.resource}"
    text = f"{judged} ({why}) [{decision.id}]"
    if text.isascii() and text.isprintable():
        return text
    return text.encode("ascii", "backslashreplace").decode().translate(_SAFE)


def _policies(verdict: Verdict) -> str:
    return ", ".join([reason.policy_id for reason in verdict.decision.reasons])


_SAFE = {number: f"\\x{number:02x}" for number in [*range(32), 127]}
