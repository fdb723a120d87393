"""Recognises agents by the words, variables, packages and imports of `signs.toml`."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from interlock.discovery.sighting import Kind

IMAGE, COMMAND, ENVIRONMENT, NAMING = 0.3, 0.4, 0.2, 0.1
# What the deeper tiers add: a process that runs is more than a name, a package is nearly proof.
PROCESS, PACKAGE, GENERIC = 0.5, 0.6, 0.7
_IMPORTS = re.compile(
    rb"""^\s*(?:from|import)\s+([\w.]+)|(?:require\(|from\s+|import\s*\(?)['"]([@\w./-]+)['"]""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework, and what shows that it is used."""

    name: str
    kind: Kind
    words: re.Pattern[str]
    commands: re.Pattern[str]
    variables: re.Pattern[str]
    packages: frozenset[str]
    modules: frozenset[str]

    def imported(self, modules: Iterable[str]) -> bool:
        """True when one of these modules is the framework's, or lies in it."""
        return any(
            m == own or m.startswith((f"{own}.", f"{own}/"))
            for m in modules
            for own in self.modules
        )


@dataclass(frozen=True, slots=True)
class Match:
    """How sure we are that it is this framework (empty: any), and why."""

    framework: str
    kind: Kind
    score: float
    evidence: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a container or process without asking it anything.

    `variables` are names. `processes` are command lines, `packages` names with versions,
    `modules` what its code imports; each empty where nobody looked.
    """

    image: str = ""
    command: str = ""
    variables: Sequence[str] = ()
    names: Sequence[str] = ()
    processes: Sequence[str] = ()
    packages: Sequence[tuple[str, str]] = ()
    modules: Sequence[str] = ()
    generic: bool = True


def recognise(look: Look) -> Match:
    """Answer the best explanation of what was seen; of equal ones the more special comes first."""
    matches = [_weigh(framework, look) for framework in frameworks()]
    best = max(matches, key=lambda match: match.score)
    keys = key_names(look.variables)
    if not (keys and look.generic):
        return best
    told = tuple(f"environment: {name}" for name in keys)
    if not best.score:
        return Match("", Kind.AGENT, GENERIC, told)
    score = max(best.score, GENERIC)
    return Match(best.framework, best.kind, score, best.evidence + told, best.version)


def _weigh(framework: Framework, look: Look) -> Match:
    seen = [(weight, said) for weight, said in _signs(framework, look) if weight]
    score = round(min(1.0, sum(weight for weight, _ in seen)), 2)
    versions = [version for name, version in look.packages if name in framework.packages]
    evidence = tuple(said for _, said in seen)
    return Match(framework.name, framework.kind, score, evidence, next(iter(versions), ""))


def _signs(framework: Framework, look: Look) -> Iterator[tuple[float, str]]:
    if found := framework.words.search(look.image):
        yield IMAGE, f"image: {found[0]}"
    if found := framework.commands.search(look.command):
        yield COMMAND, f"command: {found[0]}"
    if name := next(filter(framework.variables.fullmatch, look.variables), ""):
        yield ENVIRONMENT, f"environment: {name}"
    if found := next(filter(None, map(framework.words.search, look.names)), None):
        yield NAMING, f"name: {found[0]}"
    running = (framework.commands.search(line) for line in look.processes)
    if found := next(filter(None, running), None):
        yield PROCESS, f"process: {found[0]}"
    if packages := [name for name, _ in look.packages if name in framework.packages]:
        yield PACKAGE, f"package: {packages[0]}"
    if framework.imported(look.modules):
        yield PACKAGE, f"imports {next(m for m in look.modules if framework.imported([m]))}"


def key_names(variables: Iterable[str]) -> list[str]:
    """The names among these that hold a model provider's key."""
    known = _signs_file()[0]
    return sorted({name for name in variables if name.upper() in known})


def imports_of(code: bytes) -> list[str]:
    """The modules that a Python or JavaScript source imports, read without running it."""
    found = (one or other for one, other in _IMPORTS.findall(code))
    return sorted({name.decode(errors="replace") for name in found})


def frameworks() -> tuple[Framework, ...]:
    """Every framework that we know, the more special before the more general."""
    return _signs_file()[1]


@cache
def _signs_file() -> tuple[frozenset[str], tuple[Framework, ...]]:
    signs = tomllib.loads(files("interlock.discovery").joinpath("signs.toml").read_text("utf-8"))
    known = (
        Framework(
            name=one["name"],
            kind=Kind(one.get("kind", "agent")),
            words=_alone(one["words"]),
            commands=_alone(one["commands"]),
            variables=re.compile("|".join(_starred(name) for name in one["variables"])),
            packages=frozenset(one["packages"]),
            modules=frozenset(one["modules"]),
        )
        for one in signs["framework"]
    )
    return frozenset(signs["keys"]), tuple(known)


def _alone(words: Iterable[str]) -> re.Pattern[str]:
    """Any of these words where no letter or digit touches it."""
    longest_first = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(longest_first)})(?![a-z0-9])", re.IGNORECASE)


def _starred(name: str) -> str:
    return re.escape(name).replace(r"\*", r"\w*")
