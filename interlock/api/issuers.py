"""Issuers whose tokens prove agents and people, and the names outside that stand for them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from interlock.api.access import Admin, Viewer
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Body, Done, Seconds, Text
from interlock.delegation import parse_holder
from interlock.errors import RegistryError
from interlock.federation import FieldError, Identity, Issuer, parse_identity, parse_issuer
from interlock.federation.identity import LONGEST_NAME
from interlock.federation.issuer import ALGORITHMS, MAX_AGE_S, MOST_AGENTS, Algorithm
from interlock.model import Entity

router = APIRouter(tags=["identity"], responses=responses())
State = Annotated[Api, Depends(api_of)]
Outside = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Kind = Literal["spiffe", "certificate", "oidc"]


class NewIssuer(Body):
    """An issuer whose word is to be taken."""

    url: Outside = Field(description="Its `iss`, or `spiffe://trust-domain` for JWT-SVIDs.")
    audience: Text = Field(description="Tokens have to be made out for this audience.")
    jwks: Text = Field(default="", description="Where its keys are; empty: as its discovery says.")
    agent_claim: Text = Field(default="", description="The claim that is the agent's name.")
    group_claim: Text = Field(default="", description="The claim with groups.")
    algorithms: list[Algorithm] = Field(default=list(ALGORITHMS), min_length=1)
    max_age_s: Seconds = Field(default=MAX_AGE_S, description="How old a token may be.")
    auto_register: bool = Field(default=False, description="Register unknown agents, unverified.")
    most_agents: int = Field(default=MOST_AGENTS, ge=1, le=10**6, description="So many at most.")
    ca: Annotated[str, StringConstraints(max_length=1 << 19)] = Field(
        default="", description="The authorities for its TLS, in PEM; empty: the system's."
    )


class IssuerRecord(BaseModel):
    """An issuer; `ca` says whether it has authorities of its own."""

    url: str
    audience: str
    jwks: str
    agent_claim: str
    group_claim: str
    algorithms: list[str]
    max_age_s: float
    auto_register: bool
    most_agents: int
    ca: bool


class Bound(Body):
    """A name outside, and whose it is: `Agent::"bot"` or `User::"ada"`."""

    kind: Kind
    name: Outside = Field(description="A SPIFFE ID, a SHA-256 fingerprint, or `ISSUER#SUBJECT`.")
    holder: Text


@router.get("/issuers")
def list_issuers(_: Viewer, api: State) -> list[IssuerRecord]:
    """Every issuer."""
    return [_issuer(issuer) for issuer in api.records.federation.issuers.all().values()]


@router.post("/issuers", status_code=201, responses=responses(409))
def add_issuer(body: NewIssuer, _: Admin, api: State) -> IssuerRecord:
    """Take the word of an issuer about who calls, from the next call on."""
    said = body.model_dump() | {"algorithms": tuple(dict.fromkeys(body.algorithms))}
    try:
        issuer = parse_issuer(Issuer(**said))
    except FieldError as e:
        raise HTTPException(400, f"body.{e}") from None
    api.records.federation.issuers.add(issuer)
    return _issuer(issuer)


@router.delete("/issuers", responses=responses(404))
def remove_issuer(url: Annotated[Outside, Query()], _: Admin, api: State) -> Done:
    """Take its word no longer; connections that rest on it end at once."""
    try:
        api.records.federation.issuers.remove(url)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None
    return Done()


@router.get("/identities")
def list_identities(_: Viewer, api: State) -> list[Bound]:
    """Every name outside that is bound, and who stands behind it."""
    known = api.records.federation.identities.all()
    return [_bound(identity, holder) for identity, holder in known.items()]


@router.post("/identities", status_code=201, responses=responses(409))
def add_identity(body: Bound, _: Admin, api: State) -> Bound:
    """Let a name stand for an agent or a person, from the next call on."""
    identity = _identity(body.kind, body.name)
    try:
        holder = parse_holder(body.holder)
    except ValueError as e:
        raise HTTPException(400, f"body.holder: {e}") from None
    api.records.federation.identities.add(identity, holder)
    return _bound(identity, holder)


@router.delete("/identities", responses=responses(404))
def remove_identity(
    kind: Annotated[Kind, Query()], name: Annotated[Outside, Query()], _: Admin, api: State
) -> Done:
    """Let a name stand for nobody; connections that rest on it end at once."""
    try:
        api.records.federation.identities.remove(_identity(kind, name))
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None
    return Done()


def _identity(kind: str, name: str) -> Identity:
    try:
        return parse_identity(kind, name)
    except ValueError as e:
        raise HTTPException(400, f"name: {e}") from None


def _issuer(issuer: Issuer) -> IssuerRecord:
    return IssuerRecord.model_validate(issuer.record)


def _bound(identity: Identity, holder: Entity) -> Bound:
    return Bound.model_validate(
        {"kind": identity.kind, "name": identity.name, "holder": str(holder)}
    )
