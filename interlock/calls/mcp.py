"""Reads the messages of the Model Context Protocol (MCP) out of a request, or says why it will not.

A registered server is one at its own endpoint whatever is sent there. Anywhere else a request is
one by what it holds: a body of JSON-RPC 2.0 with a method of MCP, or its headers. Those an agent
can put on any request, so they speak for none to a host where we know the endpoint. What policy
reads must be what the server reads, in the body and in the headers that repeat it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from interlock.calls.body import plain_name, read_json
from interlock.calls.sniff import may_be_rpc, overlooked, uncoded
from interlock.model import Entity, Message, Request, Server

MOST_MESSAGES = 32
LONGEST_URI = 2048
LONGEST_ID = 256
NO_TOOL = "connect"
# Whoever sends these on a POST speaks MCP; `mcp-protocol-version` alone also goes with OAuth.
TELLING = frozenset({"mcp-session-id", "mcp-method", "mcp-name"})
_FIELDS = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_READ = frozenset({"name", "uri", "ref", "protocolversion", "_meta"})
_VERSION_IN_META = "io.modelcontextprotocol/protocolVersion"
# How a header carries what is not plain ASCII (SEP-2243).
_ENCODED = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")

# Method -> action, and the parameter that names the resource; none: the server itself.
METHODS: Mapping[str, tuple[str, str]] = {
    "initialize": (NO_TOOL, ""),
    "ping": (NO_TOOL, ""),
    "logging/setLevel": (NO_TOOL, ""),
    "server/discover": (NO_TOOL, ""),
    "tasks/list": (NO_TOOL, ""),
    "tasks/get": (NO_TOOL, ""),
    "tasks/result": (NO_TOOL, ""),
    "tasks/cancel": (NO_TOOL, ""),
    "subscriptions/listen": (NO_TOOL, ""),
    "tools/list": ("list_tools", ""),
    "tools/call": ("call_tool", "name"),
    "resources/list": ("list_resources", ""),
    "resources/templates/list": ("list_resources", ""),
    "resources/read": ("read_resource", "uri"),
    "resources/subscribe": ("read_resource", "uri"),
    "resources/unsubscribe": ("read_resource", "uri"),
    "prompts/list": ("list_prompts", ""),
    "prompts/get": ("get_prompt", "name"),
    "completion/complete": ("get_prompt", "ref"),
    # What a server asks of its client.
    "sampling/createMessage": ("sample", ""),
    "elicitation/create": ("elicit", ""),
    "roots/list": ("list_roots", ""),
}
# A method that MCP does not have; no default policy permits it.
UNKNOWN = ("http_post", "")
ACTIONS = frozenset(action for action, _ in METHODS.values())


@dataclass(frozen=True, slots=True)
class Asked:
    """One message, in the words of policies."""

    action: str
    resource: Entity
    message: Message


def read_messages(request: Request, server: Server | None) -> tuple[Asked, ...]:
    """The messages of a request; none when it is not of MCP.

    `server` is the registered one that it would go to. Raises ValueError that says what is
    ambiguous about a request that is of MCP.
    """
    name = server.name if server else request.authority.short
    headers = _headers(request)
    at_home = server is not None and is_at_endpoint(request, server)
    if request.method in ("GET", "DELETE"):
        if at_home or (server is None and "mcp-session-id" in headers):
            return (Asked(NO_TOOL, Entity("McpServer", name), Message(name, request.method)),)
        return ()
    if request.method != "POST" or not (at_home or headers.keys() & TELLING or may_be_rpc(request)):
        return ()
    if not (at_home or headers.keys() & TELLING) and _is_other(request, server):
        return ()
    data = read_json(request)
    if not (at_home or headers.keys() & TELLING or _speaks_mcp(data, answers=server is not None)):
        return ()
    bodies = data if isinstance(data, list) else [data]
    if not 0 < len(bodies) <= MOST_MESSAGES:
        raise ValueError(f"a batch must hold 1 to {MOST_MESSAGES} messages")
    _require_agreement(data, headers)
    return tuple(_asked(body, name) for body in bodies)


def _asked(body: Any, server: str) -> Asked:
    """Read one message (JSON-RPC 2.0, 4); raises ValueError."""
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise ValueError("a message must be an object of JSON-RPC 2.0")
    require_exact(body, _FIELDS)
    itself = Entity("McpServer", server)
    if "method" not in body:
        if "id" not in body or ("result" in body) is ("error" in body):
            raise ValueError("a message must be a request, a notification or an answer")
        return Asked(NO_TOOL, itself, Message(server, "answer"))
    method, params = body["method"], body.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        raise ValueError("'method' must be a text and 'params' an object")
    if "result" in body or "error" in body:
        raise ValueError("a message is a request and an answer at once")
    plain_name(method)
    require_exact(params, _READ)
    id_ = _id(body)
    action, parameter = METHODS.get(method, UNKNOWN)
    if method.startswith("notifications/"):
        action = NO_TOOL
    if not parameter:
        return Asked(action, itself, Message(server, method, id_))
    if action == "call_tool":
        tool = plain_name(_text(params, "name"))
        resource = Entity("Tool", f"{server}/{tool}")
        return Asked(action, resource, Message(server, method, id_, tool))
    if parameter == "ref":
        action, params, parameter = _reference(params)
    document = plain_name(_text(params, parameter), LONGEST_URI)
    return Asked(action, Entity("Document", f"{server}/{document}"), Message(server, method, id_))


def _reference(params: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str]:
    """What an argument is to be completed for: a prompt by name, or a resource by URI."""
    ref = params.get("ref")
    if not isinstance(ref, dict):
        raise ValueError("'ref' must be an object")
    require_exact(ref, _READ)
    return ("get_prompt", ref, "name") if "name" in ref else ("read_resource", ref, "uri")


def _id(body: Mapping[str, Any]) -> str | int | float | None:
    if "id" not in body:
        return None
    id_ = body["id"]
    if type(id_) not in (str, int, float) or len(str(id_)) > LONGEST_ID:
        raise ValueError("'id' must be a short text or a number")
    return id_  # type: ignore[no-any-return]


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"'params' must hold {name!r}, a text")
    return value


def require_exact(body: Mapping[str, Any], names: frozenset[str]) -> None:
    """Raise ValueError for a key that some parsers take for another: `Method` for `method`."""
    for key in body:
        if (folded := key.casefold()) in names and key != folded and key != "protocolVersion":
            raise ValueError(f"{key[:40]!r} stands where {folded!r} may be meant")


def _headers(request: Request) -> Mapping[str, str]:
    """The headers of MCP, each once; raises ValueError."""
    found: dict[str, str] = {}
    for name, value in request.mcp_headers:
        if found.setdefault(name, value) != value or not value.strip().isprintable():
            raise ValueError(f"more than one {name}")
    return found


def _require_agreement(data: Any, headers: Mapping[str, str]) -> None:
    """Raise ValueError when a header says another thing than the body that it repeats."""
    method, name = headers.get("mcp-method"), headers.get("mcp-name")
    version = headers.get("mcp-protocol-version")
    if not isinstance(data, dict):
        if method is not None or name is not None:
            raise ValueError("mcp-method and mcp-name cannot speak for a batch")
        return
    said = data.get("params")
    params: Mapping[str, Any] = said if isinstance(said, dict) else {}
    if method is not None and _plain(method) != data.get("method"):
        raise ValueError("mcp-method is not the method of the body")
    if name is not None and _plain(name) != params.get("name", params.get("uri")):
        raise ValueError("mcp-name is not the name in the body")
    meta = params.get("_meta")
    inside = meta.get(_VERSION_IN_META) if isinstance(meta, dict) else None
    if data.get("method") == "initialize" and inside is None:
        inside = params.get("protocolVersion")
    if version is not None and inside is not None and version.strip() != inside:
        raise ValueError("mcp-protocol-version is not the version in the body")


def _plain(value: str) -> str:
    """The value that a header carries, with its coding undone."""
    found = _ENCODED.fullmatch(value.strip())
    if not found:
        return value.strip()
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("a header of MCP is not base64 of a text") from None


def is_at_endpoint(request: Request, server: Server) -> bool:
    """Say whether a server takes whatever is sent there for MCP: by its URL, or by its own word."""
    path = request.path.partition("?")[0]
    if request.method == "POST" and path in server.posts:
        return True
    return path.rstrip("/") == urlsplit(server.url).path.rstrip("/")


def _speaks_mcp(data: Any, *, answers: bool) -> bool:
    """Say whether any message has a method of MCP, however its keys are spelled.

    `answers` counts what has none, for the host is one of which we know that it asks.
    """
    bodies = data if isinstance(data, list) else [data]
    fields = [field for body in bodies if isinstance(body, dict) for field in body.items()]
    said = [value for key, value in fields if key.casefold() == "method"]
    replies = any(key.casefold() in ("result", "error") for key, _ in fields)
    return (answers and replies) or any(isinstance(one, str) and _known(one) for one in said)


def _known(method: str) -> bool:
    return method in METHODS or method.startswith("notifications/")


def _is_other(request: Request, server: Server | None) -> bool:
    """True for a coded body that is for sure no message of MCP; any other is in doubt."""
    body = uncoded(request)
    if body is request.body or overlooked(request):
        return False
    try:
        data = read_json(replace(request, body=body, content_encoding=""))
    except ValueError:
        return False
    return not _speaks_mcp(data, answers=server is not None)
