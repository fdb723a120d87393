"""MCP through the front door, with the official client: what is allowed works, the rest is told."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from interlock.model import Mode
from tests.door.mcp_servers import Asgi, agent_client, served, workshop
from tests.door.world import World


@pytest.fixture
def shop(world: World) -> Iterator[Asgi]:
    """The workshop, registered and trusted."""
    with served(world, workshop().streamable_http_app(), "workshop") as upstream:
        yield upstream


@asynccontextmanager
async def session(world: World, mode: Mode, url: str) -> AsyncIterator[ClientSession]:
    """An initialized session of the official client."""
    async with (
        agent_client(world, mode) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write) as opened,
    ):
        await opened.initialize()
        yield opened


async def test_a_whole_session_works_unchanged(world: World, mode: Mode, shop: Asgi) -> None:
    """Tools, resources, prompts, and progress while a tool runs."""
    steps: list[Any] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with session(world, mode, f"{shop.url}/mcp") as opened:
        tools = {tool.name: tool.description for tool in (await opened.list_tools()).tools}
        assert tools["add"] == "Add two numbers."
        assert (await opened.call_tool("add", {"a": 2, "b": 3})).content[0].text == "5"
        counted = await opened.call_tool("count", {}, progress_callback=told)
        assert counted.content[0].text == "counted"
        (resource,) = (await opened.list_resources()).resources
        assert (await opened.read_resource(resource.uri)).contents[0].text == "nothing"
        (prompt,) = (await opened.list_prompts()).prompts
        greeting = await opened.get_prompt(prompt.name, {"name": "Ada"})
        assert greeting.messages[0].content.text == "Say hello to Ada."
    assert steps == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]
    asked = [(d["body"]["action"], d["body"]["resource"]) for d in world.decisions()]
    assert ("call_tool", 'Tool::"workshop/add"') in asked
    assert ("read_resource", 'Document::"workshop/notes://today"') in asked
    assert ("get_prompt", 'Document::"workshop/greet"') in asked
    assert ("connect", 'McpServer::"workshop"') in asked
