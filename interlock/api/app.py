"""The application: all routes, one shape of errors, and what runs beside the requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from interlock import __version__
from interlock.api import (
    agents,
    approvals,
    decisions,
    delegations,
    errors,
    goals,
    issuers,
    ledger,
    policies,
    servers,
    sessions,
    status,
    tokens,
)
from interlock.api.limits import Limits
from interlock.api.state import Api
from interlock.errors import StoreError
from interlock.installation import Installation

log = logging.getLogger(__name__)

FLUSH_S = 1.0
ROUTERS = (
    status.router,
    decisions.router,
    policies.router,
    agents.router,
    servers.router,
    goals.router,
    delegations.router,
    approvals.router,
    sessions.router,
    issuers.router,
    ledger.router,
    tokens.router,
)


def create_app(records: Installation, hosts: Collection[str] = ()) -> FastAPI:
    """The application over an installation, which the caller closes; raises PolicyError.

    `hosts` are the names that it answers to; empty for any.
    """
    app = FastAPI(
        title="Interlock",
        version=__version__,
        description="Runtime governance for AI agents: registry, decisions, policies, ledger.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.api = Api(records)
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    app.add_middleware(Limits, hosts=hosts)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; what FastAPI says of 422 is left out, because we answer 400."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Write heartbeats and forget who lapsed long ago, for as long as the application runs."""
    api: Api = app.state.api
    task = asyncio.get_running_loop().create_task(_tend(api))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(api.close)


async def _tend(api: Api) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        try:
            await asyncio.to_thread(api.flush)
            await asyncio.to_thread(api.forgetting.tick)
        except StoreError as e:
            log.warning("heartbeats were not written: %s", e)
