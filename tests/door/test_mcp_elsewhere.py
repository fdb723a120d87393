"""What an agent says of a request does not make MCP of it, away from the endpoint of a server."""

import json
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.model import Mode
from tests.door.mcp_servers import Asgi, agent_client, served, workshop
from tests.door.world import World

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping", "title": "x"}
NOTE = {"jsonrpc": "2.0", "method": "notifications/x", "title": "x"}
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": {}, "title": "x"}
SESSION = {"Mcp-Session-Id": "x"}


@pytest.fixture
def github(world: World) -> Iterator[Asgi]:
    """A host with an MCP server at one path, and an API of another kind beside it, with a key."""

    async def any_(_: Request) -> Response:
        return Response("done")

    methods = ["GET", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", any_, methods=methods)])
    with served(world, app, "github") as upstream:
        world.keep("github-token", "ghp_0123456789abcdefghij", upstream.port)
        yield upstream


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/repos/secret", None, SESSION),
        ("DELETE", "/repos/all", None, SESSION),
        ("DELETE", "/mcp/all", None, SESSION),
        ("POST", "/repos/merge?force=1", PING, {}),
        ("POST", "/repos/merge", PING, SESSION),
        ("POST", "/repos/merge", NOTE, {}),
        ("POST", "/repos/merge", ANSWER, {}),
        ("POST", "/repos/merge", [PING, PING], {}),
        ("POST", "/mcp/merge", PING, {}),
    ],
)
def test_a_call_of_another_api_is_not_taken_for_mcp(
    world: World,
    github: Asgi,
    method: str,
    path: str,
    body: object,
    headers: dict[str, str],
) -> None:
    """Trusted agents may use the server, and still nothing else of its host."""
    with world.client(Mode.ENFORCE) as client:
        url = f"{github.url}{path}"
        answer = client.request(method, url, headers=headers, json=body)
        at_home = client.request(method, f"{github.url}/mcp", headers=headers, json=body)
    rows = [d["body"] for d in world.decisions() if d["body"]["action"].startswith("http_")]
    assert (rows[-1]["action"], rows[-1]["label"]) == (f"http_{method.lower()}", "deny")
    assert "Interlock" in answer.text
    assert at_home.text == "done"


async def test_the_older_transport_posts_where_its_server_says(world: World) -> None:
    """That path is kept, for other front doors, until the server is gone or has moved."""
    door = world.doors[Mode.ENFORCE]

    def factory(**more: object) -> httpx.AsyncClient:
        return agent_client(world, door, headers=more.get("headers"))

    with served(world, workshop().sse_app(), "old", path="/sse") as upstream:
        async with (
            sse_client(f"{upstream.url}/sse", httpx_client_factory=factory) as (read, write),
            ClientSession(read, write, timedelta(seconds=60)) as opened,
        ):
            await opened.initialize()
            assert (await opened.call_tool("add", {"a": 2, "b": 3})).content[0].text == "5"
        posts = "select path from server_posts where server = 'old'"
        kept = world.change(lambda home: home.database.rows(posts))
        assert [row["path"] for row in kept] == ["/messages/"]
        async with agent_client(world, door) as http:
            elsewhere = await http.post(f"{upstream.url}/messages/all", json=PING)
        assert "batch-denied" in json.dumps(elsewhere.json())
    assert not world.change(lambda home: home.database.rows(posts))
