"""A policy set that was read, checked and parsed once; immutable from then on."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy

from interlock.apdp.limits import read_bounded
from interlock.apdp.place import Fault, policy_fault, schema_fault, syntax_faults
from interlock.apdp.selection import Bodies, Line, Question, Selected, Selection, action_lines
from interlock.errors import PolicyError

EFFECTS = ("require_approval", "observe")
SCHEMA = "schema.cedarschema"
# How long a call waits for a person: `@timeout("60s")`, an hour at most.
TIMEOUT = re.compile(r"(?:[1-9]\d{0,2}|[12]\d{3}|3[0-5]\d{2}|3600)s")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the decision point needs to know of one policy beside its text."""

    id: str
    description: str
    forbids: bool
    effect: str = ""
    timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class Policies:
    """A checked set: engine handles, the policies by id, and the digest of all the text."""

    folder: Path
    handle: cedarpy.PolicySet
    actions: cedarpy.Entities
    action_names: frozenset[str]
    by_id: Mapping[str, Policy]
    digest: str
    selection: Selection
    observed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.by_id)

    def select(self, principal: Line, questions: tuple[Question, ...]) -> Selected:
        """Only the policies that can apply to the questions: they answer like all of them."""
        return self.selection.select(principal, questions)


def shipped() -> Path:
    """The folder of policies that comes with Interlock, in a wheel or in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def load_policies(folder: Path, *, observed: bool = False) -> Policies:
    """Read every `*.cedar` of a folder, in the light of its schema or else the shipped one.

    Raises PolicyError with one line that names the file and the policy. A set without any
    policy is an error: it would deny everything, which nobody means. Policies that are to be
    observed only are left out, unless `observed` asks for them.
    """
    texts = {path: _read(path) for path in sorted(folder.glob("*.cedar"))}
    if not texts:
        raise PolicyError(f"{folder}: there is no *.cedar file in this folder")
    schema_path = folder / SCHEMA if (folder / SCHEMA).is_file() else shipped() / SCHEMA
    schema_text = _read(schema_path)
    try:
        schema = cedarpy.Schema.from_str(schema_text)
        actions = cedarpy.Entities.from_json_str("[]", schema)
    except ValueError as e:
        fault = schema_fault(schema_text) or Fault(_first_line(e))
        raise PolicyError(f"{schema_path}{fault.after}") from None
    parsed: dict[str, dict[str, Any]] = {}
    for path, text in texts.items():
        parsed |= _unique(path, _parse(path, text, schema), parsed)
    watching = {id_ for id_, body in parsed.items() if _policy(id_, body).effect == "observe"}
    left_out = frozenset() if observed else watching
    live = {id_: body for id_, body in parsed.items() if id_ not in left_out}
    try:
        selection = Selection(live, action_lines(actions))
    except ValueError:
        raise PolicyError(f"{folder}: {_too_long(live)}") from None
    digest = hashlib.sha256("\0".join([schema_text, *texts.values()]).encode()).hexdigest()
    names = frozenset(entity["uid"]["id"] for entity in json.loads(str(actions)))
    by_id = {id_: _policy(id_, live[id_]) for id_ in live}
    return Policies(
        folder,
        selection.whole,
        actions,
        names,
        by_id,
        digest[:16] + ("+observed" if observed else ""),
        selection,
        frozenset(watching),
    )


def _read(path: Path) -> str:
    try:
        return read_bounded(path)
    except Fault as e:
        raise PolicyError(f"{path}{e.after}") from None


def _parse(path: Path, text: str, schema: cedarpy.Schema) -> dict[str, dict[str, Any]]:
    """Parse one file into Cedar's JSON by our ids; raises PolicyError."""
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as e:
        fault = next(syntax_faults(text), Fault(_first_line(e)))
        raise PolicyError(f"{path}{fault.after}") from None
    if document["templates"]:
        raise PolicyError(f"{path}: templates are not supported in this version")
    named: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for number, (engine_id, body) in enumerate(document["staticPolicies"].items(), start=1):
        id_ = body.get("annotations", {}).get("id") or f"{path.stem}-{number}"
        named[engine_id] = id_
        found |= _unique(path, {id_: body}, found)
        effect = body.get("annotations", {}).get("effect", "")
        if effect not in ("", *EFFECTS):
            raise PolicyError(
                f"{path}: policy {id_!r}: unknown @effect({effect!r}); known: {', '.join(EFFECTS)}"
            )
        timeout = body.get("annotations", {}).get("timeout", "60s")
        if not TIMEOUT.fullmatch(timeout or ""):
            raise PolicyError(f"{path}: policy {id_!r}: @timeout({timeout!r}) is not like 60s")
    result = cedarpy.validate_policies(text, schema)
    if not result.validation_passed:
        error = min(result.errors, key=lambda error: (error.policy_id, error.error))
        said = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        fault = policy_fault(text, error.policy_id, said)
        fault.said = f"policy {named.get(error.policy_id, error.policy_id)!r}: {said}"
        raise PolicyError(f"{path}{fault.after}")
    return found


def _unique(
    path: Path, new: dict[str, dict[str, Any]], known: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    if twice := new.keys() & known.keys():
        raise PolicyError(f"{path}: policy id {min(twice)!r} is used twice")
    return new


def _too_long(bodies: Bodies) -> str:
    """Name the policy that the engine cannot read: its JSON ends at 128 levels."""
    for id_, body in bodies.items():
        try:
            Selection({id_: body}, {})
        except ValueError:
            return f"policy {id_!r}: too many operators in a row, the engine takes about 60"
    return "the engine cannot read the policies"


def _policy(id_: str, body: Mapping[str, Any]) -> Policy:
    notes = body.get("annotations", {})
    return Policy(
        id_,
        notes.get("description") or "",
        body["effect"] == "forbid",
        notes.get("effect") or "",
        int(notes.get("timeout", "60s").removesuffix("s")),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
