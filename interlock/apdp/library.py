"""A folder of policies that programs write: one file a policy, and never a set that does not load.

The folder that comes with Interlock is not written.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cedarpy

from interlock.apdp.check import ERROR, Finding, check
from interlock.apdp.intents import INTENTS, load_intents
from interlock.apdp.links import LINKS
from interlock.apdp.place import statements
from interlock.apdp.policies import SCHEMA, load_policies, shipped
from interlock.errors import PolicyError

CANDIDATE = "candidate.cedar"


class PolicyTextError(PolicyError):
    """A text is not one policy that would load; the message names the line."""


@dataclass(frozen=True, slots=True)
class Written:
    """One policy as it is written. Times are epoch seconds, 0 for one that is not stored yet."""

    id: str
    name: str
    code: str
    description: str = ""
    active: bool = True
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def record(self) -> dict[str, Any]:
        """The policy as JSON values, times in ISO 8601."""
        times = (self.created_at, self.updated_at)
        created, updated = (datetime.fromtimestamp(at, UTC).isoformat() for at in times)
        said = {"name": self.name or self.id, "code": self.code, "description": self.description}
        return {"id": self.id, **said, "active": self.active} | {
            "created_at": created,
            "updated_at": updated,
        }


class Library:
    """Reads and writes the policies of a folder; raises PolicyError, naming file and policy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Written]:
        """Every policy of the folder, templates left out, by id."""
        found = [one for path in self._files() for one in _read(path)]
        return sorted(found, key=lambda one: one.id)

    def add(self, policy: Written) -> Written:
        """Write a new policy into a file of its own, once the set loads with it."""
        path = self._own(policy.id)
        if any(one.id == policy.id for one in self.all()):
            raise PolicyError(f"there is a policy {policy.id!r} already")
        if path.exists():
            raise PolicyError(f"the file {path.name} holds other policies: choose another id")
        text = self._text(policy)
        with _tried(self._folder) as trial:
            (trial / path.name).write_text(text, "utf-8")
            _require_loading(trial)
            _move(trial / path.name, path)
        return next(one for one in self.all() if one.id == policy.id)

    def remove(self, id_: str) -> None:
        """Delete the file of a policy, once the set loads without it."""
        path = self._own(id_)
        holding = [found for found in self._files() if any(p.id == id_ for p in _read(found))]
        if len(holding) != 1 or len(_read(holding[0])) != 1:
            raise PolicyError(f"policy {id_!r} stands in a file with others: edit {self._folder}")
        path = holding[0]
        with _tried(self._folder) as trial:
            (trial / path.name).unlink()
            _require_loading(trial)
        path.unlink()

    def check(self, code: str) -> tuple[Finding, ...]:
        """All that is wrong with one policy, whatever else the folder holds."""
        if found := _crowd(code):
            return (found,)
        with tempfile.TemporaryDirectory() as scratch:
            trial = Path(scratch)
            schema = self._folder / SCHEMA
            if schema.is_file():
                shutil.copy(schema, trial)
            (trial / CANDIDATE).write_text(code, "utf-8")
            return tuple(_bare(one, trial) for one in check(trial))

    def _text(self, policy: Written) -> str:
        """What is written of a policy; raises PolicyTextError for a text that is not one."""
        for finding in self.check(policy.code):
            if finding.severity == "error":
                place = f"line {finding.line}: " if finding.line else ""
                raise PolicyTextError(f"policy {policy.id!r}: {place}{finding.message}")
        document = json.loads(cedarpy.policies_to_json_str(policy.code))
        bodies = list(document["staticPolicies"].values())
        if len(bodies) != 1 or document["templates"]:
            raise PolicyTextError(f"policy {policy.id!r}: code has to be one policy, no template")
        notes = {name: said or "" for name, said in bodies[0].get("annotations", {}).items()}
        return _annotated(policy, notes)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.cedar"))

    def _own(self, id_: str) -> Path:
        """The file of a policy that we write; refuses the shipped folder."""
        if self._folder.resolve() == shipped().resolve():
            raise PolicyError(
                "the policies in force are those that come with Interlock: "
                f"copy {shipped()} to a folder of your own, and set interlock_policies to it"
            )
        return self._folder / f"{id_}.cedar"


def _annotated(policy: Written, notes: Mapping[str, str]) -> str:
    """A policy with the annotations that its text lacks; raises PolicyTextError."""
    said = {"id": policy.id, "name": policy.name, "description": policy.description}
    if not policy.active:
        said["effect"] = "observe"
    for name, value in said.items():
        if value and notes.get(name, value) != value:
            raise PolicyTextError(f"policy {policy.id!r}: code says @{name}({notes[name]!r})")
    lacking = [(n, v) for n, v in said.items() if v and n not in notes]
    return "".join(f"@{name}({json.dumps(v, ensure_ascii=False)})\n" for name, v in lacking) + (
        policy.code.strip() + "\n"
    )


def _read(path: Path) -> list[Written]:
    """The policies of a file that loads; none of one that does not."""
    try:
        text = path.read_text("utf-8")
        document, stat = json.loads(cedarpy.policies_to_json_str(text)), path.stat()
    except (OSError, ValueError):
        return []
    times = (min(stat.st_ctime, stat.st_mtime), stat.st_mtime)
    return [
        _written(body, f"{path.stem}-{number}", times)
        for number, body in enumerate(document["staticPolicies"].values(), start=1)
    ]


def _written(body: dict[str, Any], default: str, times: tuple[float, float]) -> Written:
    notes = {name: said or "" for name, said in body.get("annotations", {}).items()}
    id_ = notes.get("id") or default
    document = {"staticPolicies": {id_: body}, "templates": {}, "templateLinks": []}
    code = cedarpy.policies_from_json_str(json.dumps(document)).strip()
    active = notes.get("effect") != "observe"
    said = (notes.get("name", ""), code, notes.get("description", ""))
    return Written(id_, *said, active, *times)


@contextlib.contextmanager
def _tried(folder: Path) -> Iterator[Path]:
    """A copy of what decides in a folder, beside its files so that one can be moved in."""
    scratch = tempfile.mkdtemp(prefix=".trial-", dir=folder)
    try:
        trial = Path(scratch)
        for path in (*folder.glob("*.cedar"), *(folder / n for n in (SCHEMA, INTENTS, LINKS))):
            if path.is_file():
                shutil.copy(path, trial)
        yield trial
    except OSError as e:
        raise PolicyError(f"{folder}: {e.strerror}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_loading(trial: Path) -> None:
    """Raise PolicyError, without the name of the trial's folder, when the set does not load."""
    try:
        load_intents(trial, load_policies(trial).action_names)
    except PolicyError as e:
        said = str(e).replace(f"{trial}/", "").replace(str(trial), "the folder")
        raise PolicyError(said) from None


def _move(written: Path, to: Path) -> None:
    """Put a file in its place, whole and on disk."""
    with written.open("rb") as opened:
        os.fsync(opened.fileno())
    written.replace(to)


def _crowd(code: str) -> Finding | None:
    """What is wrong with a text of several policies; to look at a thousand takes a while."""
    found = statements(code)
    if len(found) < 2:
        return None
    second = found[1].at(found[1].head, "code has to be one policy")
    return Finding("", second.line, second.column, ERROR, "single", second.said)


def _bare(finding: Finding, trial: Path) -> Finding:
    return replace(finding, file="", message=finding.message.replace(f"{trial}/", ""))
