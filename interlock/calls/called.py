"""Reads which tools a model called, out of its answer, streamed or not: names only."""

from collections.abc import Iterator
from typing import Any

MOST_NAMES = 32
LONGEST_NAME = 128
_BLOCKS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


class Called:
    """The names of one answer, in the order of their first call. Never raises; bounded.

    `cut` says that there may be more: too many, or in a part of the answer that was not kept.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self.cut = False

    @property
    def names(self) -> tuple[str, ...]:
        """What was called so far."""
        return tuple(self._names)

    def add(self, data: Any) -> None:
        """Read a body, or one event of a stream."""
        for body in data if isinstance(data, list) else [data]:
            for name in _names(body):
                self._keep(name)

    def _keep(self, name: Any) -> None:
        if not isinstance(name, str) or not name or name in self._names:
            return
        if len(self._names) >= MOST_NAMES or len(name) > LONGEST_NAME or not name.isprintable():
            self.cut = True
            return
        self._names[name] = None


def may_call(text: bytes | bytearray) -> bool:
    """Say whether a body or an event can tell of a tool: without one of these words no API does."""
    # Not `in`, which takes the word for a number first: twice the time, for what is short.
    return text.find(b"tool") >= 0 or text.find(b"function") >= 0 or text.find(b"_call") >= 0


def _names(body: Any) -> Iterator[Any]:
    """Every name of a tool that is called, in the shapes of all APIs that we know."""
    if not isinstance(body, dict):
        return
    for choice in _objects(body, "choices"):
        for message in (choice.get("message"), choice.get("delta")):
            yield from _of_chat(message)
    for holder in (body, body.get("response")):
        for item in _objects(holder, "output"):
            yield _of_response(item)
    yield _of_response(body.get("item"))
    for block in (*_objects(body, "content"), body.get("content_block")):
        if isinstance(block, dict) and block.get("type") in _BLOCKS:
            yield block.get("name")
    for candidate in _objects(body, "candidates"):
        for part in _objects(candidate.get("content"), "parts"):
            yield _name(part.get("functionCall") or part.get("function_call"))
    output = body.get("output")
    for block in _objects(output.get("message") if isinstance(output, dict) else None, "content"):
        yield _name(block.get("toolUse"))


def _of_chat(message: Any) -> Iterator[Any]:
    """OpenAI's chat, its older form too."""
    for call in _objects(message, "tool_calls"):
        yield _name(call.get("function") or call.get("custom"))
    if isinstance(message, dict):
        yield _name(message.get("function_call"))


def _of_response(item: Any) -> Any:
    """OpenAI's responses: a tool of the agent by name, one of theirs by its kind."""
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str) or not kind.endswith("_call"):
        return None
    return item.get("name") or kind.removesuffix("_call")


def _name(holder: Any) -> Any:
    return holder.get("name") if isinstance(holder, dict) else None


def _objects(holder: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list in an object; none where there is no such list."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
