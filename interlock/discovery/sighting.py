"""What a scanner saw, as values: names and facts, never the value of a variable or of a key."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from interlock.errors import InterlockError


class ScanError(InterlockError):
    """A source could not be looked at; the message says which, why, and what to do."""


class Kind(StrEnum):
    """What was found."""

    AGENT = "agent"
    SERVER = "server"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something to mend: where it is, without any value, and how."""

    id: str
    where: str
    fix: str

    @property
    def record(self) -> dict[str, str]:
        """The finding as JSON values."""
        return {"id": self.id, "where": self.where, "fix": self.fix}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An address that one container alone has, in a network that this machine is part of."""

    ip: str
    network: str
    container: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One agent or server at one place.

    `place` is the same in every scan as long as it is the same thing, and begins with the source.
    `marks` are what other scanners may know it by too: `container:ID`, `address:IP`, `url:URL`.
    `confidence` is between 0 and 1, `evidence` says in words what it comes from.
    """

    source: str
    place: str
    kind: Kind
    name: str
    type: str = ""
    framework: str = ""
    version: str = ""
    confidence: float = 1.0
    evidence: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    marks: frozenset[str] = frozenset()
    endpoints: tuple[str, ...] = ()
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()


def written(sighting: Sighting) -> str:
    """A sighting as text that `parse_sighting` reads; its addresses are left out."""
    known = asdict(replace(sighting, addresses=(), marks=frozenset()))
    return json.dumps(known | {"marks": sorted(sighting.marks)}, sort_keys=True)


def parse_sighting(text: str) -> Sighting:
    """Read what `written` wrote; raises ValueError."""
    try:
        known = json.loads(text)
        lists = {name: tuple(known[name]) for name in _LISTS}
        findings = tuple(Finding(**finding) for finding in known["findings"])
        special = {"findings": findings, "marks": frozenset(known["marks"]), "addresses": ()}
        return Sighting(**known | lists | special | {"kind": Kind(known["kind"])})
    except (TypeError, KeyError) as e:
        raise ValueError(f"a sighting cannot be read: {e}") from None


_LISTS = ("evidence", "signals", "endpoints", "args", "env")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be looked at; what is known at a place that begins so stays."""

    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Survey:
    """The answer of one source: what it saw, and what it could not look at."""

    source: str
    sightings: tuple[Sighting, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def failed(self) -> bool:
        """True when the source as a whole could not be looked at."""
        return any(trouble.place == f"{self.source}:" for trouble in self.troubles)


class Scanner(Protocol):
    """One source. Its places begin with `source` and a colon."""

    @property
    def source(self) -> str:
        """Its name, such as `docker`."""
        ...

    def scan(self) -> Iterable[Sighting | Trouble]:
        """Look once. Raises ScanError when the source as a whole cannot be looked at."""
        ...


class Watch(Protocol):
    """Who is told of what happens between two scans."""

    def stirred(self, source: str) -> None:
        """Something is new there: it is worth a look."""
        ...

    def gone(self, container: str) -> None:
        """A container has ended or left a network: its addresses are nobody's now."""
        ...

    def live(self, source: str, *, watching: bool) -> None:
        """From now on everything that happens there is told, or is not."""
        ...


@runtime_checkable
class Watcher(Protocol):
    """A scanner that can tell what happens between two scans."""

    def watch(self, watch: Watch, stop: threading.Event) -> None:
        """Tell, until `stop` is set; what fails is tried again."""
        ...
