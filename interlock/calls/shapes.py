"""Reads the same facts from bodies that are not shaped like OpenAI's: Google's and Bedrock's."""

from collections.abc import Iterator
from typing import Any

from interlock.calls.body import Facts, max_tokens_of, names_of, read_facts, read_object, typed
from interlock.model import Request


def facts_of(request: Request, shape: str) -> Facts:
    """Read the body of a model call in a provider's shape; raises ValueError."""
    match shape:
        case "google":
            return _google(read_object(request))
        case "bedrock":
            return _bedrock(read_object(request))
    return read_facts(request)


def _google(data: dict[str, Any]) -> Facts:
    """Gemini and Vertex; Google reads a field in either spelling (ProtoJSON)."""
    config = _either(data, "generationConfig", dict, {})
    limit = _either(config, "maxOutputTokens", int, 0)
    declared = [
        each
        for tool in typed(data, "tools", list, [])
        for each in (_functions(tool) if isinstance(tool, dict) else [tool])
    ]
    # Claude on Vertex and the OpenAI endpoint bring the other limits.
    most = max(max_tokens_of(data), max_tokens_of({"max_tokens": limit}))
    stream = typed(data, "stream", bool, False)
    return Facts(typed(data, "model", str, ""), stream, names_of(declared), most)


def _functions(tool: dict[str, Any]) -> Iterator[Any]:
    declared = _either(tool, "functionDeclarations", list, [])
    yield from declared
    if not declared:
        named = "name" in tool or "type" in tool or "function" in tool
        yield from [tool] if named else ({"name": key} for key in tool)


def _bedrock(data: dict[str, Any]) -> Facts:
    """Converse, and what InvokeModel hands to a model of Anthropic."""
    config = typed(data, "inferenceConfig", dict, {})
    limit = typed(config, "maxTokens", int, 0)
    offered = typed(typed(data, "toolConfig", dict, {}), "tools", list, [])
    specs = [tool.get("toolSpec", tool) if isinstance(tool, dict) else tool for tool in offered]
    most = max(max_tokens_of(data), max_tokens_of({"max_tokens": limit}))
    return Facts(tools=names_of([*typed(data, "tools", list, []), *specs]), max_tokens=most)


def _either[T](data: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    """Read a field in its camel or its snake spelling; both at once are ambiguous."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    if name in data and snake in data:
        raise ValueError(f"{name!r} stands in the body in two spellings")
    return typed(data, name if name in data else snake, kind, default)
