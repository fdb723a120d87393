"""Puts together what several scanners saw of one thing: by evidence, never by a name alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from interlock.discovery.sighting import Address, Finding, Kind, Sighting

# Who knows most of a thing comes first.
RANK = ("docker", "kubernetes", "processes", "network", "files")
# What changes by itself and is no news.
VOLATILE = frozenset({"started_at", "created_at", "status", "pods", "node"})


@dataclass(frozen=True, slots=True)
class Found:
    """One agent or server, as all scanners together saw it; the best informed comes first."""

    sightings: tuple[Sighting, ...]

    @staticmethod
    def rank(sighting: Sighting) -> tuple[int, str]:
        """The order of sightings in one found thing."""
        return RANK.index(sighting.source), sighting.place

    @property
    def kind(self) -> Kind:
        """Whether it is an agent or a server."""
        return self.sightings[0].kind

    @property
    def name(self) -> str:
        """What it is called where it was seen; others may be called so too."""
        return self.sightings[0].name

    @property
    def places(self) -> tuple[str, ...]:
        """Every place at which it was seen."""
        return tuple(dict.fromkeys(one.place for one in self.sightings))

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that saw it."""
        return tuple(dict.fromkeys(one.source for one in self.sightings))

    @property
    def signals(self) -> tuple[str, ...]:
        """Every risk that was seen."""
        return tuple(sorted(set(chain.from_iterable(one.signals for one in self.sightings))))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything to mend."""
        return tuple(sorted(set(chain.from_iterable(one.findings for one in self.sightings))))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where its calls come from."""
        return tuple(chain.from_iterable(one.addresses for one in self.sightings))

    @property
    def record(self) -> dict[str, Any]:
        """Everything that is worth telling, as JSON values that are the same in every scan."""
        return {
            "type": self._first("type"),
            "framework": self._first("framework"),
            "version": self._first("version"),
            "confidence": max(one.confidence for one in self.sightings),
            "evidence": self._all("evidence"),
            "signals": list(self.signals),
            "findings": [finding.record for finding in self.findings],
            "endpoints": sorted(self._all("endpoints")),
            "capabilities": dict(self._first("capabilities") or {}),
            "command": self._first("command"),
            "args": list(self._first("args")),
            "env": sorted(self._all("env")),
            "labels": dict(self._first("labels") or {}),
            "facts": self._facts(),
            "sources": list(self.sources),
        }

    def _first(self, name: str) -> Any:
        values = [getattr(one, name) for one in self.sightings]
        return next(filter(None, values), values[0])

    def _all(self, name: str) -> list[str]:
        return list(dict.fromkeys(chain.from_iterable(getattr(o, name) for o in self.sightings)))

    def _facts(self) -> dict[str, Any]:
        """All facts, those of the best informed on top; who has a server configured is one list."""
        known: dict[str, Any] = {}
        for one in reversed(self.sightings):
            known |= one.facts
        lists = [one.facts.get("configured_for", ()) for one in self.sightings]
        if users := sorted(set(chain.from_iterable(lists))):
            known["configured_for"] = users
        return known


def steady(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what changes by itself."""
    facts = {k: v for k, v in record.get("facts", {}).items() if k not in VOLATILE}
    return {**record, "facts": facts}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The fields in which two records differ."""
    old, new = steady(before), steady(after)
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def merge(sightings: Iterable[Sighting]) -> list[Found]:
    """Answer what was seen, each thing once, in the order of its place."""
    ordered = sorted(sightings, key=Found.rank)
    groups = _Groups(ordered)
    for number, sighting in enumerate(ordered):
        groups.know(number, ("place", sighting.place))
        for mark in sighting.marks:
            if not mark.startswith("address:"):
                groups.know(number, (sighting.kind, mark))
    for number, other in _same_address(ordered):
        groups.join(number, other)
    return groups.found()


def _same_address(sightings: Sequence[Sighting]) -> Iterable[tuple[int, int]]:
    """Pairs of what is seen at an address from inside and from the network, where both are one.

    An address may have many servers, so that alone it says nothing about any of them.
    """
    at: dict[tuple[Kind, str], tuple[list[int], list[int]]] = {}
    for number, one in enumerate(sightings):
        for mark in one.marks:
            if mark.startswith("address:"):
                inside, outside = at.setdefault((one.kind, mark), ([], []))
                (outside if one.source == "network" else inside).append(number)
    for inside, outside in at.values():
        if len(inside) == len(outside) == 1:
            yield inside[0], outside[0]


class _Groups:
    """Sightings that belong together, by the number of the first of each group (union-find)."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self._sightings = sightings
        self._head = list(range(len(sightings)))
        self._known: dict[object, int] = {}

    def know(self, number: int, mark: object) -> None:
        """Join a sighting with whatever has the same mark."""
        self.join(number, self._known.setdefault(mark, number))

    def join(self, one: int, other: int) -> None:
        """Join two groups under the lower number, which is the better informed."""
        first, second = sorted((self._of(one), self._of(other)))
        self._head[second] = first

    def found(self) -> list[Found]:
        """Every group as one."""
        members: dict[int, list[Sighting]] = {}
        for number, sighting in enumerate(self._sightings):
            members.setdefault(self._of(number), []).append(sighting)
        return [Found(tuple(group)) for group in members.values()]

    def _of(self, number: int) -> int:
        while self._head[number] != number:
            self._head[number] = self._head[self._head[number]]
            number = self._head[number]
        return number
