"""Who asks, and what for: every route names who may use it."""

import math
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from interlock.api.errors import BEARER
from interlock.api.state import Api, api_of
from interlock.errors import IdentityError
from interlock.ledger.ledger import act_as
from interlock.model import Agent
from interlock.registry import Role
from interlock.registry.keys import API_PREFIX

# Each may do what the ones before it may.
LADDER = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)

_bearer = HTTPBearer(auto_error=False, description="A token, or the key of an agent.")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, in a header.")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who proved to be behind a request: the holder of a token, or an agent."""

    name: str
    role: Role | None = None
    agent: Agent | None = None

    @property
    def actor(self) -> str:
        """The name in the ledger."""
        return f"{'agent' if self.agent else 'token'}:{self.name}"

    def may(self, *roles: Role) -> bool:
        """Say whether one of these roles is theirs, or below theirs."""
        if self.role in LADDER:
            below = LADDER[: LADDER.index(self.role) + 1]
            return any(role in below for role in roles)
        return self.role in roles


async def asker_of(
    request: Request,
    api: Annotated[Api, Depends(api_of)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    api_key: Annotated[str | None, Security(_api_key)],
    scanner: Annotated[str | None, Header(alias="X-Scanner-ID")] = None,
) -> Asker:
    """Prove who asks; raises 401, and 429 for who fails, or an agent that asks, too often."""
    offered = {key for key in (bearer and bearer.credentials, api_key) if key}
    try:
        if len(offered) != 1:
            raise IdentityError(
                "give one token (`interlock token add NAME`), or the key of an agent, "
                "in Authorization or X-API-Key"
            )
        asker = prove(api, offered.pop(), scanner)
    except IdentityError as e:
        address = request.client.host if request.client else ""
        if wait := api.throttle.failed(address):
            retry = {"Retry-After": str(math.ceil(wait))}
            raise HTTPException(429, "too many proofs that do not hold", retry) from None
        raise HTTPException(401, str(e), BEARER) from None
    if asker.agent and (wait := api.rate(asker.name)):
        retry = {"Retry-After": str(math.ceil(wait))}
        raise HTTPException(429, "the agent asks more often than interlock_max_rate allows", retry)
    act_as(asker.actor)
    require_known_query(request)
    return asker


def require_known_query(request: Request) -> None:
    """Raise 400 for a parameter that the route has not: a filter misspelt would not filter."""
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    if unknown := next((name for name in request.query_params if name not in known), None):
        names = f"known: {', '.join(sorted(known))}" if known else "it takes none"
        raise HTTPException(400, f"query.{unknown[:40]}: there is no such parameter; {names}")


def prove(api: Api, key: str, scanner: str | None) -> Asker:
    """Answer whose key this is; raises IdentityError."""
    now = time.time()
    if key.startswith(API_PREFIX):
        token = api.records.tokens.prove(key, now, scanner)
        return Asker(token.name, token.role)
    if scanner is not None:
        raise IdentityError("the token is not valid, or has expired")
    agent = api.records.registry.prove(key, now)
    return Asker(agent.name, agent=agent)


def allow(*roles: Role, agents: bool = False) -> Any:
    """Require one of these roles, or one above; agents only where they are named."""

    async def check(asker: Annotated[Asker, Depends(asker_of)]) -> Asker:
        if asker.agent is None and asker.may(*roles):
            return asker
        if asker.agent is not None and agents:
            return asker
        wanted = ", ".join(roles) + (" or an agent" if agents else "")
        raise HTTPException(403, f"{asker.actor} may not do this: it takes {wanted}")

    return Depends(check)


Anybody = Annotated[Asker, allow(*Role, agents=True)]
Viewer = Annotated[Asker, allow(Role.VIEWER)]
Operator = Annotated[Asker, allow(Role.OPERATOR)]
Admin = Annotated[Asker, allow(Role.ADMIN)]
Registrar = Annotated[Asker, allow(Role.OPERATOR, Role.SCANNER)]
Inquirer = Annotated[Asker, allow(Role.OPERATOR, Role.SERVICE, agents=True)]
Living = Annotated[Asker, allow(Role.OPERATOR, Role.SCANNER, agents=True)]
