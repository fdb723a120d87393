"""The least that an agent needs: one policy for each thing that it was seen to do, no more."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cedarpy

from interlock.apdp.entities import uid
from interlock.apdp.replay import Recorded
from interlock.model import Entity, Stage

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
LONGEST_ID = 120


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy that permits one action on one resource, which was done `times` times."""

    id: str
    agent: str
    action: str
    resource: Entity
    times: int

    @property
    def description(self) -> str:
        """What was seen, for people."""
        return f"{self.agent} was seen to do this; recorded calls: {self.times}."

    @property
    def text(self) -> str:
        """The policy in Cedar, in ASCII; the engine itself quotes what an agent had a say in."""
        policies = {"staticPolicies": {self.id: self._body}, "templates": {}, "templateLinks": []}
        text = cedarpy.policies_from_json_str(json.dumps(policies))
        return _FOREIGN.sub(lambda c: f"\\u{{{ord(c[0]):x}}}", cedarpy.format_policies(text))

    @property
    def _body(self) -> dict[str, Any]:
        return {
            "effect": "permit",
            "annotations": {"id": self.id, "description": self.description},
            "principal": {"op": "==", "entity": uid(Entity("Agent", self.agent))},
            "action": {"op": "==", "entity": uid(Entity("Action", self.action))},
            "resource": {"op": "==", "entity": uid(self.resource)},
            "conditions": [],
        }


def suggest(seen: Iterable[Recorded]) -> tuple[Suggestion, ...]:
    """Suggest what permits exactly the calls that left, and the secrets that they were given.

    A call whose intent did not fit counts as not seen: no policy could permit it.
    """
    done = Counter(deed for recorded in seen if _left(recorded) for deed in _deeds(recorded))
    taken: set[str] = set()
    return tuple(
        Suggestion(_unique(f"{agent}-{action}-{resource.id}", taken), agent, action, resource, n)
        for (agent, action, resource), n in sorted(done.items(), key=lambda item: str(item[0]))
    )


def _left(recorded: Recorded) -> bool:
    return not recorded.refused and recorded.stage is not Stage.INTENT


def _deeds(recorded: Recorded) -> Iterator[tuple[str, str, Entity]]:
    agent, call = recorded.situation.agent.name, recorded.situation.call
    yield agent, call.action, call.resource
    if recorded.situation.secret:
        yield agent, "access_secret", Entity("Secret", recorded.situation.secret)


def _unique(text: str, taken: set[str]) -> str:
    """A policy id that is easy to type and was not given yet."""
    stem = _ODD.sub("-", text)[:LONGEST_ID]
    number, id_ = 1, stem
    while id_ in taken:
        number, id_ = number + 1, f"{stem}-{number + 1}"
    taken.add(id_)
    return id_
