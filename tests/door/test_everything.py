"""The reference server of MCP through the front door: all that the protocol has, unchanged."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.context import RequestContext
from mcp.types import CreateMessageRequestParams, CreateMessageResult, TextContent

from interlock.model import Mode, Server, Trust
from interlock.registry import Profile
from tests.door.everything import behind_tls, everything
from tests.door.mcp_servers import agent_client
from tests.door.world import World

pytestmark = pytest.mark.slow


@pytest.fixture(params=["streamableHttp", "sse"])
def server(request: pytest.FixtureRequest, world: World) -> Iterator[tuple[str, str]]:
    """The transport, and the URL at which the server is registered and trusted."""
    path = {"streamableHttp": "mcp", "sse": "sse"}[request.param]
    with everything(request.param) as plain, behind_tls(world, plain) as port:
        url = f"https://localhost:{port}/{path}"
        one = Server(f"everything-{path}", url, trust=Trust.TRUSTED)
        world.change(lambda home: home.servers.register(one, Profile(), 0.0, vouched=True))
        yield request.param, url


async def sampled(
    _: RequestContext[ClientSession, Any], params: CreateMessageRequestParams
) -> CreateMessageResult:
    """What the model of this client says."""
    content = TextContent(type="text", text="a sample")
    return CreateMessageResult(role="assistant", content=content, model="none")


async def test_a_whole_session(world: World, server: tuple[str, str]) -> None:
    """Tools, resources, prompts, progress, and a question of the server to the agent's model."""
    transport, url = server
    door = world.doors[Mode.ENFORCE]

    def factory(**more: Any) -> httpx.AsyncClient:
        return agent_client(world, door, headers=more.get("headers"))

    http = factory()
    client: Any = sse_client(url, httpx_client_factory=factory)
    if transport == "streamableHttp":
        client = streamable_http_client(url, http_client=http)
    async with (
        http,
        client as (read, write, *_),
        ClientSession(read, write, sampling_callback=sampled) as session,
    ):
        await session.initialize()
        steps = await use(session)
    assert len(steps) >= 2
    seen = {(d["body"]["action"], d["body"]["label"]) for d in world.decisions()}
    assert {("call_tool", "allow"), ("sample", "allow"), ("read_resource", "allow")} <= seen
    pins = world.change(lambda home: home.pins.tools(f"everything-{url.rpartition('/')[2]}"))
    assert "echo" in {tool.name for tool in pins}


async def use(session: ClientSession) -> list[float]:
    """Use all that the server has, and answer the steps of progress that were told."""
    steps: list[float] = []

    async def told(progress: float, *_: Any) -> None:
        steps.append(progress)

    names = {tool.name for tool in (await session.list_tools()).tools}
    assert {"echo", "get-sum", "trigger-sampling-request"} <= names
    echoed = await session.call_tool("echo", {"message": "hello"})
    assert "hello" in echoed.content[0].text
    added = await session.call_tool("get-sum", {"a": 2, "b": 3})
    assert "5" in added.content[0].text
    long = {"duration": 0.4, "steps": 2}
    await session.call_tool("trigger-long-running-operation", long, progress_callback=told)
    asked = await session.call_tool("trigger-sampling-request", {"prompt": "x", "maxTokens": 9})
    assert "a sample" in str(asked.content)
    resources = (await session.list_resources()).resources
    assert (await session.read_resource(resources[0].uri)).contents
    prompts = (await session.list_prompts()).prompts
    simple = next(prompt for prompt in prompts if not prompt.arguments)
    assert (await session.get_prompt(simple.name)).messages
    with pytest.raises(McpError):
        await session.read_resource("demo://nothing/at/all")
    return steps
