"""What Cedar is told of one call beside the entities: the context, as plain JSON values.

Everything that an agent sent goes in as a string or a number, never as an object: Cedar's JSON
gives `__entity` and `__extn` keys a meaning that an agent must not be able to use.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from broker.quick import quick
from interlock.apdp.place import LARGEST
from interlock.apdp.standing import unexplained
from interlock.model import Agent, Call, Declaration, Mode, Pin, Why


@quick
@dataclass(frozen=True, slots=True)
class Told:
    """All that the context of a call is made of."""

    agent: Agent
    call: Call
    declared: Declaration
    mode: Mode
    now: float
    why: Why

    def context(self, names: Iterable[str]) -> dict[str, Any]:
        """Some attributes of the schema's `Why`; what nobody reads need not be worked out."""
        return {name: ATTRIBUTES[name](self) for name in names}

    def is_plain(self) -> bool:
        """True where each value fits the schema at a glance, as nearly all do.

        Any other call is for `misfit` to look through, which names what does not fit.
        """
        call, declared, why, request = self.call, self.declared, self.why, self.call.request
        texts = [declared.intent, declared.goal, why.intent_category, why.goal_status]
        texts += [why.delegated_by, *why.actors, self.agent.session, call.resource.id]
        texts += [request.method, request.authority.host, request.path, request.source_ip]
        texts += [call.model, *call.tools]
        most = max(abs(call.max_tokens), abs(why.goal_actions_left), abs(self.now))
        return "".join(texts).isascii() and most <= LARGEST


def _pin(told: Told) -> Pin:
    return told.call.mcp.pin if told.call.mcp else Pin.UNSEEN


ATTRIBUTES: Mapping[str, Callable[[Told], Any]] = {
    "intent": attrgetter("declared.intent"),
    "intent_category": attrgetter("why.intent_category"),
    "intent_matches": attrgetter("why.intent_matches"),
    "goal": attrgetter("declared.goal"),
    "goal_status": attrgetter("why.goal_status"),
    "goal_actions_left": attrgetter("why.goal_actions_left"),
    "delegation_depth": attrgetter("why.delegation_depth"),
    "delegated_by": attrgetter("why.delegated_by"),
    "delegation_valid": attrgetter("why.delegation_valid"),
    "actor_chain": lambda told: list(told.why.actors),
    "trust": attrgetter("agent.trust"),
    "mode": attrgetter("mode"),
    "method": attrgetter("call.request.method"),
    "host": attrgetter("call.request.authority.short"),
    "path": lambda told: told.call.request.path.partition("?")[0],
    "model": attrgetter("call.model"),
    "stream": attrgetter("call.stream"),
    "tools": lambda told: list(told.call.tools),
    "max_tokens": attrgetter("call.max_tokens"),
    "body_bytes": lambda told: len(told.call.request.body),
    "server_trust": lambda told: str(told.call.server.trust) if told.call.server else "",
    "tool_pinned": lambda told: _pin(told) is Pin.SAME,
    "tool_changed": lambda told: _pin(told) is Pin.CHANGED,
    "now": lambda told: int(told.now),
    "hour": lambda told: time.gmtime(told.now).tm_hour,
    "weekday": lambda told: time.gmtime(told.now).tm_wday + 1,
    "source_ip": attrgetter("call.request.source_ip"),
    "session": attrgetter("agent.session"),
}


def context_of(
    agent: Agent, call: Call, declared: Declaration, mode: Mode, now: float, why: Why | None = None
) -> dict[str, Any]:
    """Every attribute of the schema's `Why`, always all of them, so that no policy errs."""
    told = Told(agent, call, declared, mode, now, why or unexplained(agent.name))
    return told.context(ATTRIBUTES)
