"""Everything that is wrong, or looks wrong, with a folder of policies, not only the first."""

import json
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import cedarpy

from interlock.apdp.annotations import annotation_faults
from interlock.apdp.data_files import case_faults, intent_faults
from interlock.apdp.intents import INTENTS, load_intents
from interlock.apdp.limits import read_bounded
from interlock.apdp.place import Fault, Statement, schema_fault, statements, syntax_fault
from interlock.apdp.policies import SCHEMA, load_policies, shipped
from interlock.apdp.reach import (
    Standpoint,
    cannot_err,
    contradiction,
    shadows,
    standpoint,
    unknown_words,
)
from interlock.apdp.selection import Line, action_lines
from interlock.errors import PolicyError

ERROR, WARNING = "error", "warning"
NOWHERE = "unable to find an applicable action"
# Put behind a policy's conditions this is an error to Cedar's validator, unless it sees that the
# conditions never hold and looks no further: so it tells which policies are impossible.
PROBE = '\nwhen { 1 < "never" };'


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to mend; `line` and `column` count from 1, 0 is the whole file."""

    file: str
    line: int
    column: int
    severity: str
    rule: str
    message: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One file that could be read."""

    path: Path
    text: str

    def finding(self, fault: Fault, rule: str, severity: str = ERROR) -> Finding:
        """Say it with the line that it is about."""
        # Not splitlines(): to an editor, and to us, only a newline ends a line.
        line = self.text.split("\n")[fault.line - 1].rstrip("\r") if fault.line else ""
        return Finding(str(self.path), fault.line, fault.column, severity, rule, fault.said, line)


@dataclass(frozen=True, slots=True)
class Known:
    """One policy that the engine could read, where it stands, and by which id it is known."""

    source: Source
    statement: Statement
    point: Standpoint

    def finding(self, rule: str, said: str) -> Finding:
        """Warn of the policy as a whole."""
        fault = self.statement.at(self.statement.head, f"policy {self.point.id!r} {said}")
        return self.source.finding(fault, rule, WARNING)


def check(folder: Path) -> tuple[Finding, ...]:
    """Look at every file of a folder; in the order of files and lines.

    There is an error among the findings whenever the front door would not load the folder.
    """
    found = sorted(set(_Check(folder).findings()))
    if not any(finding.severity == ERROR for finding in found):
        found += _unloadable(folder)
    return tuple(found)


def _unloadable(folder: Path) -> Iterator[Finding]:
    try:
        load_intents(folder, load_policies(folder).action_names)
    except PolicyError as e:
        said = str(e).removeprefix(f"{folder}: ")
        yield Finding(str(folder), 0, 0, ERROR, "load", said)


class _Check:
    """What is known of one folder while it is looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema: cedarpy.Schema | None = None
        self._actions: dict[str, Line] = {}
        self._known: list[Known] = []
        self._ids: dict[str, str] = {}

    def findings(self) -> Iterator[Finding]:
        yield from self._read_schema()
        for path in sorted(self._folder.glob("*.cedar")):
            source = yield from _opened(path)
            if source:
                yield from self._policies(source)
        yield from self._unreached()
        names = frozenset(self._actions) or None
        path = self._folder / INTENTS
        if path.is_file() and (source := (yield from _opened(path))):
            yield from (source.finding(f, "intents") for f in intent_faults(source.text, names))
        for path in sorted((self._folder / "cases").glob("*.yaml")):
            if source := (yield from _opened(path)):
                yield from (source.finding(f, "case") for f in case_faults(source.text, names))

    def _read_schema(self) -> Iterator[Finding]:
        own = self._folder / SCHEMA
        source = yield from _opened(own if own.is_file() else shipped() / SCHEMA)
        if not source:
            return
        try:
            self._schema = cedarpy.Schema.from_str(source.text)
            actions = cedarpy.Entities.from_json_str("[]", self._schema)
            self._actions = dict(action_lines(actions))
        except ValueError as e:
            self._schema = None
            yield source.finding(schema_fault(source.text) or Fault(str(e)), "schema")

    def _policies(self, source: Source) -> Iterator[Finding]:
        """Look at one file: each policy by itself, then all that can be read together."""
        good: list[Statement] = []
        for statement in statements(source.text):
            if fault := syntax_fault(statement):
                yield source.finding(fault, "syntax")
            else:
                good.append(statement)
        wrong = self._invalid(good, "")
        for number, faults in wrong.items():
            yield from (source.finding(good[number].about(f), "schema") for f in faults)
        possible = self._invalid(good, PROBE)
        if len(good) == len(statements(source.text)):
            yield from self._each(source, good, wrong.keys(), possible.keys())
        else:
            for statement in good:
                yield from self._annotated(source, statement, "")

    def _each(
        self,
        source: Source,
        found: list[Statement],
        wrong: Collection[int],
        possible: Collection[int],
    ) -> Iterator[Finding]:
        """Look at the policies of a file without a syntax error, by the ids that they will have."""
        document = json.loads(cedarpy.policies_to_json_str(source.text))
        bodies = document["staticPolicies"]
        default = {engine: f"{source.path.stem}-{n}" for n, engine in enumerate(bodies, start=1)}
        for number, statement in enumerate(found):
            engine = f"policy{number}"
            if engine not in bodies:
                continue
            id_ = bodies[engine].get("annotations", {}).get("id") or default[engine]
            yield from self._annotated(source, statement, id_)
            known = _known(source, statement, id_)
            if not known or number in wrong:
                continue
            self._known.append(known)
            conditions = bool(known.point.parts)
            if self._schema and conditions and number not in possible and _certain(known):
                yield known.finding("unreachable", "never applies: its conditions cannot hold")
            elif (said := contradiction(known.point)) and _certain(known):
                yield known.finding("unreachable", f"never applies: {said}")

    def _annotated(self, source: Source, statement: Statement, id_: str) -> Iterator[Finding]:
        for wrong, rule, fault in annotation_faults(statement):
            yield source.finding(fault, rule, ERROR if wrong else WARNING)
        if not id_:
            return
        if first := self._ids.get(id_):
            fault = statement.about(f"policy id {id_!r} is used twice, first in {first}")
            yield source.finding(fault, "duplicate-id")
        self._ids.setdefault(id_, source.path.name)

    def _invalid(self, found: list[Statement], probe: str) -> dict[int, list[str]]:
        """What the validator says to each policy, by its number; nothing without a schema."""
        if not self._schema or not found:
            return {}
        text = "\n".join(s.text.removesuffix(";") + (probe or "\n;") for s in found)
        said: dict[int, list[str]] = {}
        for error in cedarpy.validate_policies(text, self._schema).errors:
            number = int(error.policy_id.removeprefix("policy"))
            words = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
            said.setdefault(number, []).append(words)
        return {number: _distinct(found[number], words) for number, words in said.items()}

    def _unreached(self) -> Iterator[Finding]:
        """Hold all policies against each other and against the words that can occur."""
        live = {k.point.id: k for k in self._known if k.point.effect[0] != "observe"}
        if self._actions:
            for id_, said in shadows([known.point for known in live.values()], self._actions):
                yield live[id_].finding("shadowed", said)
        categories = _categories(self._folder, frozenset(self._actions))
        for known in self._known if categories else ():
            for attribute, value, words in unknown_words(known.point, categories):
                said = f"{attribute} is never {value!r}; it is one of {words}"
                quoted = [t for t in known.statement.tokens if t.text == json.dumps(value)]
                at = quoted[0].start if quoted else known.statement.head
                yield known.source.finding(known.statement.at(at, said), "unknown-word", WARNING)


def _opened(path: Path) -> Generator[Finding, None, Source | None]:
    """Read a file within the limits; yields what stops it."""
    try:
        return Source(path, read_bounded(path))
    except Fault as e:
        yield Finding(str(path), e.line, e.column, ERROR, "unreadable", e.said)
        return None


def _known(source: Source, statement: Statement, id_: str) -> Known | None:
    """A policy that can be held against others; None for one that is too long to look through."""
    try:
        (body,) = cedarpy.policies_to_pst(statement.text).static_policies.values()
        return Known(source, statement, standpoint(id_, body))
    except (ValueError, RecursionError):
        return None


def _certain(known: Known) -> bool:
    """False for a forbid that could err on the way: it would hold then."""
    return not known.point.forbids or cannot_err(known.point)


def _distinct(statement: Statement, said: list[str]) -> list[str]:
    """One message for each place, and none that only follows from another."""
    telling = [words for words in said if not words.startswith(NOWHERE)] or said
    places = {statement.about(words).place: words for words in sorted(telling, reverse=True)}
    return [places[place] for place in sorted(places)]


def _categories(folder: Path, actions: frozenset[str]) -> frozenset[str]:
    """The names of the categories; none when their file is broken."""
    try:
        return frozenset(load_intents(folder, actions).categories)
    except PolicyError:
        return frozenset()
