"""The policies in force: read, checked, and written into their folder one file each."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from interlock.apdp import Policies
from interlock.apdp.authorize import read_question
from interlock.apdp.check import Finding, check
from interlock.apdp.entities import line_of
from interlock.apdp.library import Library, Written
from interlock.api.access import Admin, Viewer
from interlock.api.decisions import Question
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Body, Done, Text
from interlock.model import Entity

router = APIRouter(tags=["policies"], responses=responses())
State = Annotated[Api, Depends(api_of)]
PolicyId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,127}$")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]


class NewPolicy(Body):
    """A policy that is to be put in force; its annotations are written where `code` has none."""

    id: PolicyId
    name: Text = ""
    code: Code = Field(description="One policy in Cedar.")
    description: Text = ""
    active: bool = Field(default=True, description='False: observed only, `@effect("observe")`.')
    created_at: Text = Field(
        default="", description="As a record has it; when that is, is seen here."
    )
    updated_at: Text = Field(default="", description="The same.")


class PolicyRecord(BaseModel):
    """A policy of the set in force, or one that is observed only (`active` is false)."""

    id: str
    name: str
    code: str
    description: str
    active: bool
    created_at: str
    updated_at: str


class Single(Body):
    """A text that may be a policy."""

    code: Code


class Problem(BaseModel):
    """One thing to mend."""

    file: str
    line: int
    column: int
    severity: str
    rule: str
    message: str


class Validity(BaseModel):
    """Whether it would load, and all that is to be mended."""

    valid: bool
    findings: list[Problem]


class Metadata(BaseModel):
    """What a policy asks of a call, read once when it was loaded; see `analyze`."""

    id: str
    principal_pattern: str
    action_pattern: str
    resource_pattern: str
    context_requirements: list[str]
    complexity_score: int


class Analysis(BaseModel):
    """The policies whose scope fits a question."""

    policies_total: int
    policies_applicable: list[str]


@router.get("/policies")
def list_policies(_: Viewer, api: State) -> list[PolicyRecord]:
    """Every policy of the folder."""
    return [_record(one) for one in _library(api).all()]


@router.post("/policies", status_code=201, responses=responses(409))
def add_policy(body: NewPolicy, who: Admin, api: State) -> PolicyRecord:
    """Put a policy in force: into a file of its own, once the whole set loads with it."""
    library = _library(api)
    found = library.add(
        Written(body.id, body.name, body.code, body.description, active=body.active)
    )
    _note(api, "policy.add", body.id, before=None, after=_digest(found))
    return _record(found)


@router.get("/policies/validate")
def validate_all(_: Viewer, api: State) -> Validity:
    """Look for all that is wrong with the folder as it stands."""
    return _validity(check(api.folder.folder))


@router.post("/policies/validate/single")
def validate_one(body: Single, _: Viewer, api: State) -> Validity:
    """Look for all that is wrong with a text, in the light of the schema in force."""
    return _validity(_library(api).check(body.code))


@router.get("/policies/metadata")
def metadata(_: Viewer, api: State) -> list[Metadata]:
    """What each policy in force asks of a call."""
    policies, _intents = api.policies()
    bodies = json.loads(policies.selection.document(policies.by_id))["staticPolicies"]
    return [_metadata(policies, id_, body) for id_, body in sorted(bodies.items())]


@router.post("/policies/analyze")
def analyze(body: Question, _: Viewer, api: State) -> Analysis:
    """Say which policies can apply to a question; what they then say is for `authorize`."""
    policies, _intents = api.policies()
    asked = read_question(body.model_dump())
    line = line_of(asked.resource, asked.resource.id, None)
    ids = policies.select((asked.principal,), ((asked.action, line),)).ids
    return Analysis(policies_total=len(policies), policies_applicable=sorted(ids))


@router.get("/policies/{id}", responses=responses(404))
def show_policy(id: str, _: Viewer, api: State) -> PolicyRecord:
    """One policy."""
    return _record(_named(api, id))


@router.delete("/policies/{id}", responses=responses(404, 409))
def remove_policy(id: str, who: Admin, api: State) -> Done:
    """Take a policy out of force, if it has a file of its own and the rest loads without it."""
    gone = _named(api, id)
    _library(api).remove(id)
    _note(api, "policy.rm", id, before=_digest(gone), after=None)
    return Done()


def _library(api: Api) -> Library:
    api.policies()
    return Library(api.folder.folder)


def _named(api: Api, id_: str) -> Written:
    for one in _library(api).all():
        if one.id == id_:
            return one
    raise HTTPException(404, "there is no such policy")


def _digest(one: Written) -> str:
    return hashlib.sha256(one.code.encode()).hexdigest()


def _note(api: Api, action: str, id_: str, *, before: str | None, after: str | None) -> None:
    """Record the change, by the digests of the text; take it up here. Front doors see the file."""
    records, details = api.records, {"policy": id_, "before": before, "after": after}
    records.database.write(lambda c: records.ledger.admin(c, action, details))
    api.policies()


def _record(one: Written) -> PolicyRecord:
    return PolicyRecord.model_validate(one.record)


def _validity(findings: tuple[Finding, ...]) -> Validity:
    problems = [
        Problem.model_validate({name: getattr(one, name) for name in Problem.model_fields})
        for one in findings
    ]
    return Validity(valid=not any(one.severity == "error" for one in findings), findings=problems)


def _metadata(policies: Policies, id_: str, body: dict[str, Any]) -> Metadata:
    return Metadata(
        id=id_,
        principal_pattern=_pattern(body["principal"]),
        action_pattern=_pattern(body["action"]),
        resource_pattern=_pattern(body["resource"]),
        context_requirements=sorted(policies.selection.reads(id_)),
        complexity_score=1 + _operations(body["conditions"]),
    )


def _pattern(scope: dict[str, Any]) -> str:
    """A third of a scope as people write it."""

    def text(entity: dict[str, str]) -> str:
        return str(Entity(entity["type"], entity["id"]))

    match scope:
        case {"op": "is", "entity_type": str(type_), "in": {"entity": entity}}:
            return f"{type_} in {text(entity)}"
        case {"op": "is", "entity_type": str(type_)}:
            return type_
        case {"op": "in", "entities": [*entities]}:
            return f"in [{', '.join(map(text, entities))}]"
        case {"op": "in", "entity": entity}:
            return f"in {text(entity)}"
        case {"op": "==", "entity": entity}:
            return text(entity)
    return "*"


def _operations(value: Any) -> int:
    """How many operators and values its conditions are made of."""
    if isinstance(value, dict):
        return len(value) + sum(map(_operations, value.values()))
    return sum(map(_operations, value)) if isinstance(value, list) else 0
