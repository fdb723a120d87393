"""Finds agents among the processes of this machine, from what /proc tells (proc(5))."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.discovery.depth import Depth
from interlock.discovery.plain import hide, plain_arguments
from interlock.discovery.sighting import Finding, ScanError, Sighting, Trouble
from interlock.discovery.signs import Look, Match, imports_of, key_names, recognise
from interlock.discovery.started import interprets, line_of, started
from interlock.discovery.words import clean, digest, name_of

SOURCE = "processes"
LONGEST_FILE = 256_000
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_LOADED = re.compile(rb"/(?:site-packages|dist-packages|node_modules)/(@?[\w.-]+(?:/[\w.-]+)?)")


@dataclass(frozen=True, slots=True)
class Process:
    """What may be read of one process; `variables` are names, the values were never kept."""

    pid: int
    uid: int
    words: tuple[str, ...]
    variables: tuple[str, ...]
    modules: tuple[str, ...]
    container: str = ""


@dataclass(frozen=True, slots=True)
class Processes:
    """Every process that we may look into, except this one and those that it stems from."""

    depth: Depth
    proc: Path = Path("/proc")
    source: str = SOURCE

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Look once; raises ScanError where there is no /proc."""
        if not (self.proc / "self").exists():
            raise ScanError(f"{SOURCE}: this machine has no {self.proc}: only Linux is looked into")
        own, closed = set(_ancestors(self.proc, os.getpid())), 0
        seen: dict[str, Sighting] = {}
        for folder in self.proc.iterdir():
            if not folder.name.isdigit() or int(folder.name) in own:
                continue
            try:
                process = _read(folder)
            except PermissionError:
                closed += 1
                continue
            except (OSError, ValueError):  # it has ended
                continue
            if process and (found := self._judge(process)):
                seen.setdefault(found.place, found)
        yield from seen.values()
        if closed:
            who = " (root may)" if os.geteuid() else ""
            why = f"processes of others that may not be looked into{who}: {closed}"
            yield Trouble(f"{SOURCE}:others/", why)

    def _judge(self, process: Process) -> Sighting | None:
        # An editor may have a file open that is called like an agent, and a shell may hand a key
        # on: only what interprets is known by what it starts, and by keys.
        line = line_of(started(process.words))[:4000]
        match = recognise(
            Look(
                command=line,
                variables=process.variables,
                processes=(line,),
                modules=process.modules,
                generic=self.depth.generic_ai and interprets(process.words[0]),
            )
        )
        return _sighting(process, match) if match.score >= self.depth.threshold else None


def _read(folder: Path) -> Process | None:
    words = [w.decode(errors="replace") for w in _bytes(folder / "cmdline").split(b"\0") if w]
    if not words:
        return None
    entries = _bytes(folder / "environ").split(b"\0")
    names = sorted({e.partition(b"=")[0].decode(errors="replace") for e in entries if b"=" in e})
    in_container = _CONTAINER.search(_bytes(folder / "cgroup").decode(errors="replace"))
    return Process(
        int(folder.name),
        folder.stat().st_uid,
        tuple(words),
        tuple(names),
        tuple(_modules(folder, words)),
        in_container[0] if in_container else "",
    )


def _modules(folder: Path, words: Sequence[str]) -> Iterator[str]:
    """What is loaded already, and what the script imports that was started."""
    maps = _bytes(folder / "maps", longest=4_000_000)
    for name in sorted({found.decode(errors="replace") for found in _LOADED.findall(maps)}):
        yield name.partition("/")[0] if not name.startswith("@") else name
    if not interprets(words[0]):
        return
    words = started(words)
    if "-m" in words[1:-1]:
        yield words[words.index("-m") + 1]
    script = next((w for w in words[1:] if w.endswith((".py", ".js", ".mjs", ".ts"))), "")
    if script:
        inside = script if script.startswith("/") else f"{(folder / 'cwd').readlink()}/{script}"
        yield from imports_of(_bytes(folder / "root" / inside.lstrip("/")))


def _bytes(path: Path, longest: int = LONGEST_FILE) -> bytes:
    """The beginning of a regular file; empty when it is not there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read(longest) or b""


def _ancestors(proc: Path, pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        status = _bytes(proc / str(pid) / "stat").rpartition(b")")[2].split()
        pid = int(status[1]) if len(status) > 1 else 0


def _sighting(process: Process, match: Match) -> Sighting:
    words = process.words
    named = next((w for w in words[1:] if not w.startswith("-")), words[0])
    same = digest(process.uid, *hide(words))
    findings: tuple[Finding, ...] = ()
    if plain_arguments(words):
        findings = (
            Finding(
                "secret_in_arguments",
                f"command line of process {process.pid}",
                "anybody on this machine can read it: pass it another way, and revoke it",
            ),
        )
    return Sighting(
        source=SOURCE,
        place=f"{SOURCE}:{process.uid}/{same}",
        kind=match.kind,
        name=name_of(Path(named).stem or named),
        type="process",
        framework=match.framework,
        confidence=match.score,
        evidence=tuple(clean(one) for one in match.evidence),
        findings=findings,
        marks=frozenset({f"container:{process.container}"} if process.container else ()),
        command=clean(words[0]),
        args=tuple(clean(word) for word in hide(words[1:33])),
        env=tuple(clean(name, 128) for name in key_names(process.variables)),
        facts={"uid": process.uid},
    )
