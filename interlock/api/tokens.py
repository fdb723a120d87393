"""Tokens: who may use the API, and how far."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from interlock.api.access import Admin
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Body, Done, Name, Seconds
from interlock.errors import RegistryError
from interlock.registry import Role
from interlock.registry.tokens import Token

router = APIRouter(prefix="/tokens", tags=["tokens"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class NewToken(Body):
    """A token that is to be made; `ttl_s` null for no end."""

    name: Name
    role: Role
    ttl_s: Seconds | None = None


class Life(Body):
    """For how long the new text is good; null for ever."""

    ttl_s: Seconds | None = None


FOR_EVER = Life()


class TokenRecord(BaseModel):
    """A token, never its text. Times are seconds since 1970."""

    name: str
    role: Role
    created_at: float
    expires_at: float | None


class MadeToken(TokenRecord):
    """A token with its text, which is told this once."""

    token: str


@router.get("")
def list_tokens(_: Admin, api: State) -> list[TokenRecord]:
    """Every token."""
    return [TokenRecord.model_validate(token.record) for token in api.records.tokens.all()]


@router.post("", status_code=201, responses=responses(409))
def add_token(body: NewToken, _: Admin, api: State) -> MadeToken:
    """Make a token; its text is in the answer, this once."""
    text = api.records.tokens.add(body.name, body.role, ttl=body.ttl_s)
    return MadeToken(**api.records.tokens.get(body.name).record, token=text)


@router.get("/{name}", responses=responses(404))
def show_token(name: str, _: Admin, api: State) -> TokenRecord:
    """One token."""
    return TokenRecord.model_validate(_known(api, name).record)


@router.post("/{name}/rotate", responses=responses(404))
def rotate_token(name: str, _: Admin, api: State, body: Life = FOR_EVER) -> MadeToken:
    """Replace the text of a token; the old one ends at once."""
    _known(api, name)
    text = api.records.tokens.rotate(name, ttl=body.ttl_s)
    return MadeToken(**_known(api, name).record, token=text)


@router.delete("/{name}", responses=responses(404))
def remove_token(name: str, _: Admin, api: State) -> Done:
    """End a token."""
    api.records.tokens.remove(_known(api, name).name)
    return Done()


def _known(api: Api, name: str) -> Token:
    try:
        return api.records.tokens.get(name)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None
