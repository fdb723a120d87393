"""MCP servers and the scanners that find them, in both spellings of the reference."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, field_validator
from starlette.exceptions import HTTPException

from interlock.api.access import Admin, Asker, Operator, Registrar, Viewer
from interlock.api.agents import Heard, TrustChange, require_room, scanner_source
from interlock.api.errors import responses
from interlock.api.state import Api, api_of
from interlock.api.words import Body, Done, Json, Labels, Name, Seconds, ServerName, Text, Texts
from interlock.calls.url import parse_url
from interlock.errors import RegistryError
from interlock.inventory import GROUP
from interlock.model import Health, Server, Trust
from interlock.registry import Profile, Registration, Role
from interlock.registry.profile import KINDS
from interlock.registry.tokens import Token

DEFAULT_TTL_S = 90.0
router = APIRouter(tags=["servers"], responses=responses())
State = Annotated[Api, Depends(api_of)]


class Offers(Body):
    """What a server offers."""

    tools: list[Json] = []
    resources: list[Json] = []
    prompts: list[Json] = []
    models: list[Json] = []
    skills: list[Json] = []

    @field_validator("tools", "resources", "prompts", "models", "skills")
    @classmethod
    def _named(cls, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not all(isinstance(one.get("name"), str) for one in entries):
            raise ValueError("each needs a name")
        return entries

    @property
    def record(self) -> dict[str, Any]:
        """The same as the registry keeps it."""
        return {kind: found for kind, found in self.model_dump().items() if found or kind in KINDS}


class NewServer(Body):
    """A server that is to be registered: reached at a `url`, or started by a `command`."""

    name: ServerName
    url: Text = ""
    command: Text = ""
    args: Texts = []
    env: dict[Text, Text] = Field(default={}, description="Names are kept, values are not.")
    capabilities: Offers = Offers()
    description: Text = ""
    owner: Text = ""
    groups: Texts = []
    framework: Text = ""
    version: Text = ""
    labels: Labels = {}
    signals: Texts = Field(default=[], description="Ids of risks that were seen.")
    evidence: Json = Field(default={}, description="What it was recognised by.")
    status: Health | None = None
    ttl_s: Seconds | None = Field(
        default=DEFAULT_TTL_S,
        description="For so long it is good without a heartbeat; null for ever, by an operator.",
    )

    @field_validator("url")
    @classmethod
    def _canonical(cls, url: str) -> str:
        return parse_url(url) if url else ""


class ServerRecord(BaseModel):
    """A server as it is known. Times are seconds since 1970."""

    id: str
    name: str
    url: str
    command: str
    args: list[str]
    env: list[str]
    capabilities: dict[str, list[dict[str, Any]]]
    status: Health
    trust: Trust
    lease: str | None = Field(description="`live`, `stale` or `lapsed`; null for one without.")
    lapses_at: float | None
    scanner_id: str
    source: str
    owner: str
    groups: list[str]
    description: str
    framework: str
    version: str
    labels: dict[str, str]
    signals: list[str]
    evidence: dict[str, Any]
    last_verified: float | None
    created_at: float
    last_seen: float


class Beat(Body):
    """Which server lives."""

    server_id: Text


class NewScanner(Body):
    """A scanner that is to be registered."""

    id: Name
    description: Text = ""


class ScannerRecord(BaseModel):
    """A scanner: its id and when it was registered."""

    id: str
    created_at: float
    servers: int


class RegisteredScanner(ScannerRecord):
    """A new scanner with its key, which is told this once."""

    api_key: str


def record(found: Registration) -> ServerRecord:
    """A registration as the reference spells it."""
    now = time.time()
    said = found.record(now)
    alive = said["health"] == Health.ACTIVE
    return ServerRecord.model_validate(
        {name: said[name] for name in ServerRecord.model_fields if name in said}
        | {
            "status": said["health"],
            "lease": found.lease and found.lease.state(now),
            "scanner_id": found.scanner,
            # Who is active was heard of since it was looked at.
            "last_verified": said["last_seen" if alive else "verified_at"],
            "created_at": said["first_seen"],
        }
    )


def known(api: Api, name: str) -> Registration:
    """The server of that id or name; raises 404."""
    try:
        return api.records.servers.show(name)
    except RegistryError as e:
        raise HTTPException(404, str(e)) from None


def put(api: Api, who: Asker, body: NewServer) -> ServerRecord:
    """Register a server, or take up what is new of it."""
    if not body.url and not body.command:
        raise HTTPException(400, "body: give url or command")
    scanner = who.name if who.role is Role.SCANNER else ""
    if scanner and (body.groups or body.owner or body.ttl_s is None):
        said = "a scanner vouches for nobody: leave out owner and groups, and give a ttl_s"
        raise HTTPException(403, said)
    if not api.records.servers.named(body.name):
        require_room(api, who)
    profile = Profile(
        type="http" if body.url else "stdio",
        description=body.description,
        framework=body.framework,
        version=body.version,
        labels=body.labels,
        capabilities=body.capabilities.record,
        endpoints=(body.url,) if body.url else (),
        command=body.command,
        args=tuple(body.args),
        env=tuple(body.env),
        signals=tuple(body.signals),
        evidence=body.evidence,
        source=scanner_source(scanner) if scanner else who.actor,
    )
    groups = (GROUP,) if scanner else body.groups
    server = Server(body.name, body.url, body.owner, tuple(dict.fromkeys(groups)))
    servers, now = api.records.servers, time.time()
    found, _ = servers.register(
        server, profile, now, lease_s=body.ttl_s, scanner=scanner, vouched=not scanner
    )
    if body.status:
        servers.set_health(found.id, body.status, now)
    return record(servers.show(found.id))


@router.post("/api/v1/servers/register", status_code=201, responses=responses(409))
def register_server(body: NewServer, who: Registrar, api: State) -> ServerRecord:
    """Register a server, or take up what is new of one that is known."""
    return put(api, who, body)


@router.post("/mcp-servers", status_code=201, responses=responses(409))
def add_server(body: NewServer, who: Registrar, api: State) -> ServerRecord:
    """The same."""
    return put(api, who, body)


@router.post("/api/v1/servers/heartbeat", responses=responses(404))
def hear_of_server(body: Beat, who: Registrar, api: State) -> Heard:
    """Renew the lease of a server."""
    found = known(api, body.server_id)
    _require_own(found, who)
    api.beat("server", [found.server.name])
    return Heard(count=1)


@router.get("/mcp-servers")
def list_servers(
    _: Viewer,
    api: State,
    status: Annotated[Health | None, Query()] = None,
    capability: Annotated[Text | None, Query(description="The name of a tool or so.")] = None,
    scanner_id: Annotated[Text | None, Query()] = None,
) -> list[ServerRecord]:
    """Every server, or those that fit."""
    now = time.time()
    fitting = (
        one
        for one in api.records.servers.all()
        if status in (None, one.health(now))
        and scanner_id in (None, one.scanner)
        and (capability is None or _offers(one, capability))
    )
    return [record(one) for one in fitting]


@router.get("/mcp-servers/{id}", responses=responses(404))
def show_server(id: str, _: Viewer, api: State) -> ServerRecord:
    """One server, by id or name."""
    return record(known(api, id))


@router.put("/mcp-servers/{id}", responses=responses(404, 409))
def change_server(id: str, body: NewServer, who: Registrar, api: State) -> ServerRecord:
    """Take up what is new of a server; its name stays."""
    found = known(api, id)
    _require_own(found, who)
    if body.name != found.server.name:
        raise HTTPException(409, f"server {found.id} is named {found.server.name!r}, which stays")
    return put(api, who, body)


@router.delete("/mcp-servers/{id}", responses=responses(404))
def remove_server(id: str, _: Operator, api: State) -> Done:
    """Forget a server; what was done with it stays in the ledger."""
    api.records.servers.remove(known(api, id).id)
    return Done()


@router.post("/mcp-servers/{id}/trust", responses=responses(404, 409))
def move_server(id: str, body: TrustChange, _: Operator, api: State) -> ServerRecord:
    """Vouch for a server, or cut it off."""
    api.records.servers.set_trust(known(api, id).id, body.trust, body.reason)
    return record(known(api, id))


@router.get("/scanners")
def list_scanners(_: Viewer, api: State) -> list[ScannerRecord]:
    """Every scanner."""
    tokens = api.records.tokens.all()
    return [_scanner(api, token) for token in tokens if token.role is Role.SCANNER]


@router.post("/scanners", status_code=201, responses=responses(409))
def add_scanner(body: NewScanner, _: Admin, api: State) -> RegisteredScanner:
    """Register a scanner; its key is in the answer, this once."""
    key = api.records.tokens.add(body.id, Role.SCANNER)
    token = api.records.tokens.get(body.id)
    return RegisteredScanner(**_scanner(api, token).model_dump(), api_key=key)


@router.get("/scanners/{id}", responses=responses(404))
def show_scanner(id: str, _: Viewer, api: State) -> ScannerRecord:
    """One scanner."""
    for token in api.records.tokens.all():
        if token.role is Role.SCANNER and token.name == id:
            return _scanner(api, token)
    raise HTTPException(404, "there is no such scanner")


def _scanner(api: Api, token: Token) -> ScannerRecord:
    count = sum(one.scanner == token.name for one in api.records.servers.all())
    return ScannerRecord(id=token.name, created_at=token.created_at, servers=count)


def _require_own(found: Registration, who: Asker) -> None:
    if who.role is Role.SCANNER and found.scanner != who.name:
        raise HTTPException(403, f"server {found.id} was registered by another")


def _offers(found: Registration, capability: str) -> bool:
    """Say whether it offers something of that name, or of that kind, such as `tools`."""
    profile = found.seen.profile
    named = any(capability in profile.names(kind) for kind in profile.capabilities)
    return named or bool(profile.capabilities.get(capability))
