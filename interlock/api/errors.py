"""Every refusal in one shape: a word for programs, a line for people, never a trace."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from interlock.apdp.authorize import QuestionError
from interlock.apdp.library import PolicyTextError
from interlock.delegation import DelegationError
from interlock.errors import IdentityError, InterlockError, SettingsError, StoreError
from interlock.ledger import AttestationError

log = logging.getLogger(__name__)

CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    421: "misdirected",
    429: "too_many_attempts",
    503: "unavailable",
}
# What starlette says of a path that no route has.
NOWHERE = "Not Found"
BEARER = {"WWW-Authenticate": "Bearer"}


class Refusal(BaseModel):
    """Why a request was refused."""

    code: str
    message: str


class Refused(BaseModel):
    """The body of every answer that is a refusal."""

    error: Refusal


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of refusals, those that any route has among them."""
    return {
        status: {"model": Refused, "description": CODES[status].replace("_", " ")}
        for status in sorted({400, 401, 403, 413, 421, 429, 503, *statuses})
    }


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is refused."""
    error = {"code": CODES.get(status, "error"), "message": message}
    return JSONResponse({"error": error}, status, headers)


def status_of(error: InterlockError) -> int:
    """The status that says what kind of error it is."""
    match error:
        case IdentityError():
            return 401
        case StoreError() | SettingsError() | AttestationError():
            return 503
        case QuestionError() | PolicyTextError() | DelegationError():
            return 400
    return 409


def line_of(error: Mapping[str, Any]) -> str:
    """What is wrong with a request and where, in one line, from the first error that was found."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "json_invalid":
        return f"body: is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    if where == "body" and error["type"] in ("missing", "model_attributes_type"):
        return "body: send a JSON object, with Content-Type: application/json"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"


def install(app: FastAPI) -> None:
    """Have every error answered in the one shape."""

    @app.exception_handler(InterlockError)
    async def ours(_: Request, error: InterlockError) -> JSONResponse:
        status = status_of(error)
        return refused(status, str(error), BEARER if status == 401 else None)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        nowhere = error.status_code == 404 and error.detail == NOWHERE
        said = "there is no such route; /openapi.json lists them" if nowhere else error.detail
        return refused(error.status_code, str(said), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return refused(400, line_of(error.errors()[0]))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return refused(500, "something failed here; the log says what")
