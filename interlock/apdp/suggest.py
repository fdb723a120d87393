"""The least that an agent needs: one policy for each thing that it was seen to do, where it did."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cedarpy

from interlock.apdp.entities import uid
from interlock.apdp.replay import Recorded
from interlock.model import Effect, Entity, Stage

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
LONGEST_ID = 120


@dataclass(frozen=True, slots=True)
class Deed:
    """One action of an agent on a resource; `host` is empty where the resource names it."""

    agent: str
    action: str
    resource: Entity
    host: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy that permits one deed, which was done `times` times.

    `asks`: a person had to permit it at least once, so a person has to go on doing that.
    """

    id: str
    deed: Deed
    times: int
    asks: bool = False

    @property
    def description(self) -> str:
        """What was seen, for people."""
        return f"{self.deed.agent} was seen to do this; recorded calls: {self.times}."

    @property
    def text(self) -> str:
        """The policy in Cedar, in ASCII; the engine itself quotes what an agent had a say in."""
        policies = {"staticPolicies": {self.id: self._body}, "templates": {}, "templateLinks": []}
        text = cedarpy.policies_from_json_str(json.dumps(policies))
        return _FOREIGN.sub(lambda c: f"\\u{{{ord(c[0]):x}}}", cedarpy.format_policies(text))

    @property
    def _body(self) -> dict[str, Any]:
        deed = self.deed
        effect = {"effect": "require_approval"} if self.asks else {}
        return {
            "effect": "permit",
            "annotations": {"id": self.id, "description": self.description} | effect,
            "principal": {"op": "==", "entity": uid(Entity("Agent", deed.agent))},
            "action": {"op": "==", "entity": uid(Entity("Action", deed.action))},
            "resource": {"op": "==", "entity": uid(deed.resource)},
            "conditions": [_at(deed.host)] if deed.host else [],
        }


def suggest(seen: Iterable[Recorded]) -> tuple[Suggestion, ...]:
    """Suggest what permits exactly the calls that left, and the secrets that they were given.

    A call that was denied before any policy was asked counts as not seen: none could permit it.
    """
    done: Counter[Deed] = Counter()
    asking: set[Deed] = set()
    for recorded in filter(_left, seen):
        deeds = list(_deeds(recorded))
        done.update(deeds)
        if recorded.effect is Effect.NEEDS_APPROVAL:
            asking.add(deeds[0])
    taken: set[str] = set()
    return tuple(
        Suggestion(
            _unique(f"{deed.agent}-{deed.action}-{deed.resource.id}", taken),
            deed,
            done[deed],
            deed in asking,
        )
        for deed in sorted(done, key=str)
    )


def _left(recorded: Recorded) -> bool:
    """Say whether a call left that policies had a say in."""
    asked = recorded.stage in (Stage.POLICY, Stage.APPROVAL) and not recorded.situation.call.doubt
    return asked and not recorded.refused


def _deeds(recorded: Recorded) -> Iterator[Deed]:
    """The call, then the access to its secret."""
    agent, call = recorded.situation.agent.name, recorded.situation.call
    host = call.request.authority.short
    yield Deed(agent, call.action, call.resource, "" if _names(call.resource, host) else host)
    if recorded.situation.secret:
        yield Deed(agent, "access_secret", Entity("Secret", recorded.situation.secret), host)


def _names(resource: Entity, host: str) -> bool:
    return resource == Entity("Endpoint", host)


def _at(host: str) -> dict[str, Any]:
    """The condition `when { context.host == host }`."""
    said = {".": {"left": {"Var": "context"}, "attr": "host"}}
    return {"kind": "when", "body": {"==": {"left": said, "right": {"Value": host}}}}


def _unique(text: str, taken: set[str]) -> str:
    """A policy id that is easy to type and was not given yet."""
    stem = _ODD.sub("-", text)[:LONGEST_ID]
    number, id_ = 1, stem
    while id_ in taken:
        number, id_ = number + 1, f"{stem}-{number + 1}"
    taken.add(id_)
    return id_
