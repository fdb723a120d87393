"""What scanners see now beside what they saw before: new, changed, unchanged, stale."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from interlock.discovery.merge import Found, changes, merge
from interlock.discovery.sighting import Kind, Sighting, parse_sighting
from interlock.discovery.sweep import Sweep
from interlock.registry import Holder
from interlock.store.sightings import Row

# The group of every agent and server that nobody registered by hand, for policies to speak of.
GROUP = "discovered"


class Change(StrEnum):
    """What became of one thing since the last look."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent or server, under the name that it has in the registry.

    `fields` names what changed. `places` are where it was the last time and is no more.
    """

    change: Change
    kind: Kind
    name: str
    found: Found
    fields: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """Everything about it as JSON values."""
        said = {"change": str(self.change), "kind": str(self.kind), "name": self.name}
        return said | {"fields": list(self.fields)} | self.found.record


class Inventory(Protocol):
    """Compares a sweep with what is known, and carries the difference into a registry."""

    def plan(self, sweep: Sweep) -> list[Entry]:
        """Say what is new, changed, unchanged and stale, and change nothing; raises StoreError."""
        ...

    def apply(self, sweep: Sweep, entries: Sequence[Entry], now: float) -> None:
        """Carry a plan out. `now` is in epoch seconds. Raises StoreError or ClientError.

        What was not carried out is planned again the next time.
        """
        ...

    def holders(self, entries: Sequence[Entry]) -> Iterator[Holder]:
        """Which address stands for which agent of this home, by what was seen now."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What was stored under one name."""

    rows: tuple[Row, ...]
    found: Found
    present: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sweep beside what is stored.

    `fresh` names what was never seen before, `registered` says whether a name still stands.
    """

    sweep: Sweep
    stored: Sequence[Row]
    fresh: Callable[[Found], str]
    registered: Callable[[Kind, str], bool]

    def entries(self) -> list[Entry]:
        """Everything that was seen or is stored as present, in the order of names."""
        seen = [sighting for found in self.sweep.found for sighting in found.sightings]
        known = _by_name(self.stored)
        of_place = {(row.kind, row.place): row.name for row in self.stored}
        entries = []
        for one in merge([*seen, *self._remembered()]):
            names = (of_place.get((one.kind, place)) for place in one.places)
            name = next(filter(None, names), "") or self.fresh(one)
            entries.append(self._compare(name, one, known))
        named = {(entry.kind, entry.name) for entry in entries}
        entries += [
            Entry(Change.STALE, kind, name, one.found, places=_places(one))
            for (kind, name), one in known.items()
            if one.present and (kind, name) not in named
        ]
        return sorted(entries, key=lambda entry: (entry.kind, entry.name))

    def _remembered(self) -> Iterator[Sighting]:
        """What could not be looked at is still there, as far as anybody knows."""
        places = self.sweep.places
        for row in self.stored:
            if row.present and row.place not in places and not self.sweep.covers(row.place):
                yield parse_sighting(row.body)

    def _compare(self, name: str, found: Found, known: Mapping[tuple[Kind, str], _Known]) -> Entry:
        before = known.get((found.kind, name))
        if before is None or not self.registered(found.kind, name):
            return Entry(Change.NEW, found.kind, name, found)
        fields = changes(before.found.record, found.record)
        if not before.present:
            fields = ["seen again", *fields]
        left = tuple(place for place in _places(before) if place not in found.places)
        change = Change.CHANGED if fields else Change.UNCHANGED
        return Entry(change, found.kind, name, found, tuple(fields), left)


def looked_at(sweep: Sweep, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of which a sweep tells anything, without those that it only remembers."""
    places = sweep.places
    return [
        entry
        for entry in entries
        if entry.change is not Change.UNCHANGED or not places.isdisjoint(entry.found.places)
    ]


def _by_name(stored: Sequence[Row]) -> dict[tuple[Kind, str], _Known]:
    groups: dict[tuple[Kind, str], list[Row]] = {}
    for row in stored:
        groups.setdefault((Kind(row.kind), row.name), []).append(row)
    return {key: _known(group) for key, group in groups.items()}


def _known(group: Sequence[Row]) -> _Known:
    """What is stored under a name: what is there, or what was there last if nothing is."""
    present = [row for row in group if row.present]
    sightings = [parse_sighting(row.body) for row in present or group]
    ordered = sorted(sightings, key=Found.rank)
    return _Known(tuple(present), Found(tuple(ordered)), bool(present))


def _places(known: _Known) -> tuple[str, ...]:
    return tuple(row.place for row in known.rows)


def evidence_of(found: Found) -> dict[str, Any]:
    """What a registry keeps of why something was taken for what it is, and what to mend."""
    record = found.record
    return {
        "sources": record["sources"],
        "confidence": record["confidence"],
        "because": record["evidence"],
        "findings": record["findings"],
        "facts": record["facts"],
    }
