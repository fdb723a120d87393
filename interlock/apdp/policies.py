"""A policy set that was read, checked and parsed once; immutable from then on."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy

from interlock.apdp.limits import read_bounded
from interlock.apdp.links import LINKS, fill, parse_links
from interlock.apdp.place import Fault, policy_fault, schema_fault, syntax_faults
from interlock.apdp.recording import parse_fields
from interlock.apdp.selection import Line, Question, Selected, Selection, action_lines
from interlock.apdp.validation import Validator, slots_of
from interlock.errors import PolicyError

EFFECTS = ("require_approval", "observe", "quarantine")
SCHEMA = "schema.cedarschema"
# How long a call waits for a person: `@timeout("60s")`, an hour at most.
TIMEOUT = re.compile(r"(?:[1-9]\d{0,2}|[12]\d{3}|3[0-5]\d{2}|3600)s")
MOST_LINK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """What the decision point needs to know of one policy beside its text."""

    id: str
    description: str
    forbids: bool
    effect: str = ""
    timeout_s: int = 60
    recorded: tuple[str, ...] = ()


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

    def require_action(self, name: str) -> None:
        """Raise PolicyError for what the schema has no word for."""
        if name not in self.action_names:
            raise PolicyError(f"action: {name!r} is no action of the schema")

    def select(self, principal: Line, questions: tuple[Question, ...]) -> Selected:
        """Only the policies that can apply to the questions: they answer like all of them."""
        return self.selection.select(principal, questions)

    def recorded(self, ids: Iterable[str]) -> tuple[str, ...]:
        """The fields of a body that some of the policies want to have on record."""
        known = [self.by_id[id_].recorded for id_ in ids if id_ in self.by_id]
        return tuple(dict.fromkeys([field for fields in known for field in fields]))

    def text(self, id_: str) -> str:
        """One policy in the engine's own layout."""
        return cedarpy.policies_from_json_str(self.selection.document([id_])).strip()


def shipped() -> Path:
    """The folder of policies that comes with Interlock, in a wheel or in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def load_policies(folder: Path, *, observed: bool = False, links: str | None = None) -> Policies:
    """Read every `*.cedar` of a folder, in the light of its schema or else the shipped one.

    Raises PolicyError with one line that names the file and the policy. A set without any
    policy is an error: it would deny everything, which nobody means. Policies that are to be
    observed only are left out, unless `observed` asks for them. `links` is the text to take in
    place of the folder's `links.toml`.
    """
    texts = {path: _read(path) for path in sorted(folder.glob("*.cedar"))}
    if not texts:
        what = "*.cedar file in this folder" if folder.is_dir() else "such folder"
        raise PolicyError(f"{folder}: there is no {what}")
    links = read_links(folder) if links is None else links
    schema_path = folder / SCHEMA if (folder / SCHEMA).is_file() else shipped() / SCHEMA
    schema_text = _read(schema_path)
    try:
        validator = Validator(schema_text)
    except ValueError as e:
        fault = schema_fault(schema_text) or Fault(_first_line(e))
        raise PolicyError(f"{schema_path}{fault.after}") from None
    written: dict[str, dict[str, Any]] = {}
    for path, text in texts.items():
        written |= _unique(path, _parse(path, text, validator), written)
    parsed = {id_: body for id_, body in written.items() if not slots_of(body)}
    parsed |= _linked(folder / LINKS, links, written, validator)
    watching = {id_ for id_, body in parsed.items() if _policy(id_, body).effect == "observe"}
    left_out = frozenset() if observed else watching
    live = {id_: body for id_, body in parsed.items() if id_ not in left_out}
    actions = validator.actions
    selection = Selection(live, action_lines(actions))
    said = [schema_text, *texts.values(), *([links] if links else [])]
    digest = hashlib.sha256("\0".join(said).encode()).hexdigest()
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


def read_links(folder: Path) -> str:
    """The text of the links of a folder, empty without any; raises PolicyError."""
    path = folder / LINKS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise PolicyError(f"{path}: {e.strerror}") from None
    if len(data) > MOST_LINK_BYTES:
        raise PolicyError(f"{path}: larger than {MOST_LINK_BYTES >> 20} MiB")
    return _decoded(path, data)


def _read(path: Path) -> str:
    try:
        return read_bounded(path)
    except Fault as e:
        raise PolicyError(f"{path}{e.after}") from None


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise PolicyError(f"{path}: not UTF-8 at byte {e.start}") from None


def _parse(path: Path, text: str, validator: Validator) -> dict[str, dict[str, Any]]:
    """Parse one file into Cedar's JSON by our ids, templates among them; raises PolicyError."""
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as e:
        fault = next(syntax_faults(text), Fault(_first_line(e)))
        raise PolicyError(f"{path}{fault.after}") from None
    found: dict[str, dict[str, Any]] = {}
    engine_ids: dict[str, str] = {}
    for number, (engine_id, body) in enumerate(document["staticPolicies"].items(), start=1):
        id_ = body.get("annotations", {}).get("id") or f"{path.stem}-{number}"
        found |= _unique(path, {id_: body}, found)
        engine_ids[id_] = engine_id
    for id_, body in found.items():
        if problem := _wrong_note(body) or validator.problem(body):
            fault = policy_fault(text, engine_ids[id_], problem)
            fault.said = f"policy {id_!r}: {problem}"
            raise PolicyError(f"{path}{fault.after}")
    templates = _templates(path, text, document["templates"], validator)
    return found | _unique(path, templates, found)


def _templates(
    path: Path, text: str, written: Mapping[str, dict[str, Any]], validator: Validator
) -> dict[str, dict[str, Any]]:
    """The templates of a file by our ids; raises PolicyError."""
    found: dict[str, dict[str, Any]] = {}
    ids = {engine_id: body.get("annotations", {}).get("id") for engine_id, body in written.items()}
    for engine_id, body in written.items():
        id_ = ids[engine_id]
        if not id_:
            raise PolicyError(f"{path}: a template needs an @id, by which links name it")
        if problem := _wrong_note(body):
            raise PolicyError(f"{path}: template {id_!r}: {problem}")
        found |= _unique(path, {id_: body}, found)
    engine_id, problem = validator.problem_in(text) if written else ("", "")
    if problem:
        raise PolicyError(f"{path}: template {ids.get(engine_id, engine_id)!r}: {problem}")
    return found


def _wrong_note(body: Mapping[str, Any]) -> str:
    """Say which annotation of a policy has no meaning that we know; empty for none."""
    notes = body.get("annotations", {})
    effect = notes.get("effect", "")
    if effect not in ("", *EFFECTS):
        return f"unknown @effect({effect!r}); known: {', '.join(EFFECTS)}"
    if effect == "quarantine" and body["effect"] != "forbid":
        return "@effect('quarantine') stands on a permit; only a forbid can put into quarantine"
    if "record_arguments" in notes:
        try:
            parse_fields(notes["record_arguments"] or "")
        except ValueError as e:
            return str(e)
    timeout = notes.get("timeout", "60s")
    return "" if TIMEOUT.fullmatch(timeout or "") else f"@timeout({timeout!r}) is not like 60s"


def _linked(
    path: Path, text: str, written: Mapping[str, dict[str, Any]], validator: Validator
) -> dict[str, dict[str, Any]]:
    """The policies that the links make of templates, by their own ids; raises PolicyError."""
    try:
        links = parse_links(text)
    except ValueError as e:
        raise PolicyError(f"{path}: {_first_line(e)}") from None
    found: dict[str, dict[str, Any]] = {}
    for link in links:
        template = written.get(link.template, {})
        if not template or not slots_of(template):
            raise PolicyError(
                f"{path}: link {link.id!r}: template: there is none with @id {link.template!r}"
            )
        try:
            body = fill(template, link)
        except ValueError as e:
            raise PolicyError(f"{path}: link {link.id!r}: {e}") from None
        if problem := validator.problem(body):
            raise PolicyError(f"{path}: link {link.id!r}: {problem}")
        _unique(path, {link.id: body}, written)
        _unique(path, {link.id: body}, found)
        found[link.id] = body
    return found


def _unique(
    path: Path, new: dict[str, dict[str, Any]], known: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    if twice := new.keys() & known.keys():
        raise PolicyError(f"{path}: policy id {min(twice)!r} is used twice")
    return new


def _policy(id_: str, body: Mapping[str, Any]) -> Policy:
    notes = body.get("annotations", {})
    return Policy(
        id_,
        notes.get("description") or "",
        body["effect"] == "forbid",
        notes.get("effect") or "",
        int(notes.get("timeout", "60s").removesuffix("s")),
        parse_fields(recorded) if (recorded := notes.get("record_arguments")) else (),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
