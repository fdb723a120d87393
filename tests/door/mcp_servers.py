"""Real MCP servers behind TLS: one of the Python SDK, and one that lets a test say each answer."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from mcp.server.fastmcp import Context, FastMCP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Upstream
from interlock.model import Server, Trust
from interlock.registry import Profile
from tests.door.world import TRUSTED, World, trusting

type Json = dict[str, Any]


def workshop() -> FastMCP:
    """A server with two tools, one that reports progress, a resource and a prompt."""
    server = FastMCP("workshop")
    logging.getLogger("mcp").setLevel(logging.CRITICAL)

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def erase(path: str) -> str:
        """Erase a file."""
        raise AssertionError(f"{path} was erased")

    @server.tool()
    async def count(context: Context[Any, Any, Any]) -> str:
        """Count to three, with a word about each step."""
        for step in range(3):
            await context.report_progress(step + 1, 3, f"step {step + 1}")
        return "counted"

    @server.resource("notes://today")
    def notes() -> str:
        """What was noted today."""
        return "nothing"

    @server.prompt()
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Say hello to {name}."

    return server


class Asgi(Upstream):
    """An ASGI application behind TLS on a port of its own; it keeps what reaches it."""

    def __init__(self, world: World, app: Any) -> None:
        super().__init__(world.certificates)
        self._app = app
        self.posts: list[Any] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on, lifespan too, and keep each JSON body."""
        body = bytearray()

        async def heard() -> Any:
            event = await receive()
            body.extend(event.get("body", b""))
            if body and event.get("type") == "http.request" and not event.get("more_body"):
                self.posts.append(json.loads(body))
            return event

        await self._app(scope, heard, send)

    def _config(self) -> Any:
        config = super()._config()
        config.lifespan = "on"
        return config

    @property
    def methods(self) -> list[str]:
        """The methods of all messages that arrived."""
        bodies = [b for post in self.posts for b in (post if isinstance(post, list) else [post])]
        return [body.get("method", "") for body in bodies]


def scripted(answer: Callable[[Json], Any], content_type: str = "application/json") -> Starlette:
    """A server that answers each message with what `answer` makes of it."""

    async def mcp(request: Request) -> Response:
        said = answer(await request.json())
        if isinstance(said, bytes):
            return Response(said, media_type=content_type)
        return JSONResponse(said)

    return Starlette(routes=[Route("/mcp", mcp, methods=["POST"])])


@contextmanager
def served(
    world: World, app: Any, name: str = "", trust: Trust = Trust.TRUSTED, path: str = "/mcp"
) -> Iterator[Asgi]:
    """Serve an application, registered under a name unless that is empty."""
    with Asgi(world, app) as upstream:
        if name:
            server = Server(name, f"{upstream.url}{path}", trust=trust)
            world.change(lambda home: home.servers.register(server, Profile(), 0.0, vouched=True))
        try:
            yield upstream
        finally:
            if name:
                world.change(lambda home: home.servers.remove(name))


def agent_client(
    world: World, door: FrontDoor, agent: str = TRUSTED, **more: Any
) -> httpx.AsyncClient:
    """An asynchronous client of an agent through the proxy."""
    return httpx.AsyncClient(
        proxy=door.proxy(agent, world.keys[agent]),
        verify=trusting(door.ca, **more),
        trust_env=False,
        timeout=30,
        **more,
    )


async def posted(world: World, door: FrontDoor, url: str, body: Any, **more: Any) -> httpx.Response:
    """One POST of a trusted agent; bytes go as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    async with agent_client(world, door) as http:
        return await http.post(url, content=content, headers=headers | more.get("headers", {}))
