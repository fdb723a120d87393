"""Servers on the network: asked politely, in bounded numbers, and believed in nothing."""

import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from mcp.server.fastmcp import FastMCP
from uvicorn import Config, Server

from interlock.demo.ports import free_ports
from interlock.discovery.network import Ports, parse_range
from interlock.discovery.sighting import Kind, Sighting
from interlock.discovery.words import LONGEST_NAME
from tests.discovery.simulated import Answers, listening

HERE = ipaddress.ip_network("127.0.0.1/32")


def seen(*ports: int, **more: Any) -> dict[str, Sighting]:
    """What is found at these ports of this machine, by name."""
    found = Ports([HERE], ports, **more).scan()
    return {one.name: one for one in found if isinstance(one, Sighting)}


@pytest.fixture(scope="module")
def mcp_port() -> Iterator[int]:
    """An MCP server that nobody here wrote, with one tool."""
    (port,) = free_ports(1)
    made = FastMCP("weather", host="127.0.0.1", port=port)

    @made.tool()
    def forecast(city: str) -> str:
        """Tell the weather of tomorrow."""
        return city

    server = Server(Config(made.streamable_http_app(), port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield port
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def serve() -> Iterator[Any]:
    """Answer GET by path with JSON, or bytes as they are."""
    with ExitStack() as stack:

        def start(answers: dict[str, Any]) -> int:
            class Handler(Answers):
                def do_GET(self) -> None:
                    known = answers.get(self.path)
                    self.whole(known if known is not None else {}, 200 if known else 404)

                def do_POST(self) -> None:
                    length = int(self.headers["Content-Length"])
                    self.rfile.read(length)
                    self.whole(answers.get("POST", {}), 200 if "POST" in answers else 404)

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server.server_port

        yield start


def test_shakes_hands_with_an_mcp_server(mcp_port: int) -> None:
    """Name, version and tools with their schemas, as they are told."""
    found = seen(mcp_port)["weather"]
    assert (found.kind, found.framework, found.type) == (Kind.SERVER, "MCP", "http")
    assert found.endpoints == (f"http://127.0.0.1:{mcp_port}/mcp",)
    (tool,) = found.capabilities["tools"]
    assert (tool["name"], tool["description"]) == ("forecast", "Tell the weather of tomorrow.")
    assert tool["input_schema"]["required"] == ["city"]


def test_knows_agents_and_model_servers_by_what_they_publish(serve: Any) -> None:
    """A2A's card at both places, OpenAI's API, vLLM and Ollama."""
    card = {"name": "Travel agent", "version": "2", "skills": [{"id": "book", "name": "book"}]}
    a2a = serve({"/.well-known/agent-card.json": card})
    old = serve({"/.well-known/agent.json": card | {"name": "Old agent"}})
    vllm_model = {"id": "llama", "owned_by": "vllm"}
    vllm = serve({"/v1/models": {"data": [vllm_model]}, "/version": {"version": "0.6"}})
    plain = serve({"/v1/models": {"data": [{"id": "m1"}, {"id": "m2"}]}})
    ollama = serve({"/api/tags": {"models": [{"name": "qwen"}]}, "/api/version": {"version": "1"}})
    found = seen(a2a, old, vllm, plain, ollama)
    assert found["Travel-agent"].kind is Kind.AGENT
    assert found["Old-agent"].capabilities == {"skills": [{"name": "book"}]}
    named = {one.framework: one for one in found.values()}
    assert set(named) == {"A2A", "vLLM", "OpenAI API", "Ollama"}
    assert named["vLLM"].version == "0.6"
    assert named["Ollama"].capabilities == {"models": [{"name": "qwen"}]}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"{" * 100_000, id="half-broken JSON"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested 100,000 deep"),
        pytest.param(b'"' + b"x" * 3_000_000 + b'"', id="three megabytes"),
        pytest.param(b'{"data": 7, "models": {}, "name": 1, "skills": 2}', id="other types"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
    ],
)
def test_nonsense_is_nothing(serve: Any, answer: bytes) -> None:
    """It finds nothing, raises nothing, and the port beside it is seen."""
    paths = ("/.well-known/agent-card.json", "/.well-known/agent.json", "/v1/models", "/api/tags")
    nonsense = serve({"POST": answer} | dict.fromkeys(paths, answer))
    plain = serve({"/v1/models": {"data": [{"id": "m"}]}})
    assert [one.framework for one in seen(nonsense, plain).values()] == ["OpenAI API"]


def test_a_hostile_name_is_made_harmless(serve: Any) -> None:
    """Control codes, markup, SQL and a megabyte become a short name."""
    hostile = "\x1b]0;owned\x07<script>'; drop table agents; --" + "x" * 300_000
    card = {"name": hostile, "description": hostile, "skills": [{"name": hostile}]}
    (found,) = seen(serve({"/.well-known/agent.json": card})).values()
    assert len(found.name) <= LONGEST_NAME
    assert found.name.startswith("0-owned-script-drop-table-agents")
    text = json.dumps([found.capabilities, found.facts], ensure_ascii=False)
    assert "\x1b" not in text
    assert len(text) < 2_000


def test_a_port_that_never_answers_holds_nobody_up(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up; the others are seen."""
    monkeypatch.setattr("interlock.discovery.network.TARGET_S", 2.0)
    deaf, port = listening()
    with deaf:
        assert len(seen(port, serve({"/v1/models": {"data": [{"id": "m"}]}}))) == 1


@pytest.mark.parametrize("text", ["8.8.8.0/24", "1.1.1.1", "2606:4700::/120", "0.0.0.0/0"])
def test_public_ranges_are_refused(text: str) -> None:
    """Unless somebody says that they are his."""
    with pytest.raises(ValueError, match=r"public|more than"):
        parse_range(text)


def test_a_range_of_256_hosts_and_ten_ports_takes_seconds(serve: Any) -> None:
    """Under 15 s on an idle machine; the bound is for a loaded one."""
    port = serve({"/v1/models": {"data": [{"id": "m"}]}})
    ports = (port, *free_ports(9))
    began = time.monotonic()
    found = list(Ports([ipaddress.ip_network("127.0.0.0/24")], ports, rate=50_000).scan())
    assert len(found) == 1
    assert time.monotonic() - began < 45
