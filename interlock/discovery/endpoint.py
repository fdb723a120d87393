"""Asks an open port what it speaks: MCP, A2A, OpenAI's API, Ollama or vLLM."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from interlock.discovery.sighting import Kind, Sighting
from interlock.discovery.words import clean, name_of

SOURCE = "network"
LONGEST_ANSWER = 1_000_000
MOST_TOOLS = 1_000
MCP_VERSION = "2025-06-18"
MCP_PATHS = ("/mcp", "/")
CARDS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
HELLO = {
    "protocolVersion": MCP_VERSION,
    "capabilities": {},
    "clientInfo": {"name": "interlock-discover", "version": "1"},
}
type Json = Mapping[str, Any]


class Silence(Exception):
    """Nobody there speaks what was asked."""


async def sightings_at(client: httpx.AsyncClient, base: str, host: str) -> AsyncIterator[Sighting]:
    """Everything that an address says of itself; `base` is such as `http://10.0.0.7:8080`."""
    for probe in (_mcp, _a2a, _models):
        try:
            yield await probe(client, base, host)
        except Silence:
            continue


async def _mcp(client: httpx.AsyncClient, base: str, host: str) -> Sighting:
    """Shake hands as an MCP client does, ask for the tools, and say goodbye.

    https://modelcontextprotocol.io/specification/2025-06-18/basic/transports
    """
    for path in MCP_PATHS:
        url = base + path
        try:
            result, headers = await _call(client, url, {}, "initialize", HELLO)
        except Silence:
            continue
        if not isinstance(result.get("serverInfo"), dict):
            continue
        capabilities = await _offered(client, url, headers, result)
        return _server(url, host, result, capabilities)
    raise Silence


async def _offered(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], hello: Json
) -> dict[str, Any]:
    """The tools, resources and prompts of a server with which hands were shaken."""
    offered: dict[str, Any] = {}
    try:
        await _post(client, url, headers, {"method": "notifications/initialized"})
        said = hello.get("capabilities") or {}
        for kind in ("tools", "resources", "prompts"):
            if kind in said:
                result, _ = await _call(client, url, headers, f"{kind}/list", {})
                offered[kind] = [_described(one) for one in _list(result, kind)]
        if "Mcp-Session-Id" in headers:
            await client.delete(url, headers=headers)
    except (Silence, httpx.HTTPError):
        pass  # what was said until here is worth having
    return offered


def _described(one: Json) -> dict[str, Any]:
    known: dict[str, Any] = {"name": clean(one.get("name") or one.get("uri") or "", 128)}
    if one.get("description"):
        known["description"] = clean(one["description"], 500)
    schema = one.get("inputSchema")
    if isinstance(schema, dict) and len(text := json.dumps(schema)) <= 10_000:
        known["input_schema"] = json.loads(text)
    return known


def _server(url: str, host: str, hello: Json, capabilities: Json) -> Sighting:
    info = hello["serverInfo"]
    return Sighting(
        source=SOURCE,
        place=f"{SOURCE}:{url}",
        kind=Kind.SERVER,
        name=name_of(str(info.get("name") or "mcp")),
        type="http",
        framework="MCP",
        version=clean(info.get("version") or "", 40),
        evidence=(f"MCP handshake, protocol {clean(hello.get('protocolVersion'), 40)}",),
        signals=() if url.startswith("https:") else ("network_no_tls",),
        marks=frozenset({f"url:{url}", f"address:{host}"}),
        endpoints=(url,),
        capabilities=capabilities,
    )


async def _a2a(client: httpx.AsyncClient, base: str, host: str) -> Sighting:
    """Read an agent card (https://a2a-protocol.org/latest/specification/, agent discovery)."""
    for path in CARDS:
        try:
            card = await _get(client, base + path)
        except Silence:
            continue
        if not isinstance(card.get("name"), str) or "skills" not in card:
            continue
        skills = [_described(skill) for skill in _list(card, "skills")]
        return Sighting(
            source=SOURCE,
            place=f"{SOURCE}:{base}",
            kind=Kind.AGENT,
            name=name_of(card["name"]),
            type="a2a",
            framework="A2A",
            version=clean(card.get("version") or "", 40),
            evidence=(f"agent card at {path}",),
            signals=() if base.startswith("https:") else ("network_no_tls",),
            marks=frozenset({f"url:{base}", f"address:{host}"}),
            endpoints=(base,),
            capabilities={"skills": skills},
            facts={"description": clean(card.get("description") or "", 500)},
        )
    raise Silence


async def _models(client: httpx.AsyncClient, base: str, host: str) -> Sighting:
    """Ask for the models that are served here: by Ollama, vLLM, or whoever speaks OpenAI's API."""
    for name, path, kind, field in (
        ("Ollama", "/api/tags", "models", "name"),
        ("OpenAI API", "/v1/models", "data", "id"),
    ):
        try:
            models = _list(await _get(client, base + path), kind)
        except Silence:
            continue
        served = [clean(model.get(field) or "", 128) for model in models]
        version = await _version(client, base, "/api/version" if name == "Ollama" else "/version")
        owned = {str(model.get("owned_by")) for model in models}
        framework = "vLLM" if name != "Ollama" and (version and "vllm" in owned) else name
        return Sighting(
            source=SOURCE,
            place=f"{SOURCE}:{base}{path}",
            kind=Kind.SERVER,
            name=name_of(f"{framework}-{base.partition('://')[2]}"),
            type="models",
            framework=framework,
            version=version,
            evidence=(f"{len(served)} models at {path}",),
            signals=("network_open_model_server",),
            marks=frozenset({f"url:{base}{path}"}),
            endpoints=(base,),
            capabilities={"models": [{"name": one} for one in served]},
        )
    raise Silence


async def _version(client: httpx.AsyncClient, base: str, path: str) -> str:
    try:
        return clean((await _get(client, base + path)).get("version") or "", 40)
    except Silence:
        return ""


async def _get(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    return _object(await _read(client, "GET", url))


async def _call(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], method: str, params: Json
) -> tuple[dict[str, Any], dict[str, str]]:
    """Call a method of JSON-RPC; answer its result and the headers of the session."""
    found = await _post(client, url, headers, {"id": 1, "method": method, "params": params})
    result = _object(found[0]).get("result")
    if not isinstance(result, dict):
        raise Silence
    session = {"Mcp-Session-Id": found[1]} if found[1] else {}
    return result, headers | session | {"Mcp-Protocol-Version": MCP_VERSION}


async def _post(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], message: Json
) -> tuple[bytes, str]:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    session: list[str] = []
    answer = await _read(client, "POST", url, headers | accept, body, session)
    return answer, next(iter(session), "")


async def _read(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    session: list[str] | None = None,
) -> bytes:
    """The body of a good answer, or the first message of an event stream; raises Silence."""
    try:
        async with client.stream(method, url, headers=headers, content=body) as answer:
            if answer.status_code not in (200, 202):
                raise Silence
            if session is not None and "mcp-session-id" in answer.headers:
                session.append(answer.headers["mcp-session-id"])
            events = answer.headers.get("content-type", "").startswith("text/event-stream")
            text = b""
            async for chunk in answer.aiter_bytes():
                text += chunk
                if len(text) > LONGEST_ANSWER:
                    raise Silence
                if events and (data := _message(text)):
                    return data
            return text
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
        raise Silence from None


def _message(text: bytes) -> bytes:
    """The first complete event that is an answer; empty until it has come."""
    for event in text.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        lines = (line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        data = b"\n".join(lines)
        if b'"result"' in data or b'"error"' in data:
            return data
    return b""


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Silence from None
    if not isinstance(found, dict):
        raise Silence
    return found


def _list(found: Json, name: str) -> list[Any]:
    """A list of objects, cut to what a registry can use; raises Silence for anything else."""
    values = found.get(name)
    if not isinstance(values, list):
        raise Silence
    return [value for value in values[:MOST_TOOLS] if isinstance(value, dict)]
