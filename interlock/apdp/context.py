"""Does a value of the context fit the schema? The engine would say that something is wrong only."""

from collections.abc import Mapping

from interlock.apdp.place import LARGEST
from interlock.model import Entity

# What each attribute of the schema's `Why` has to be; a call always gives all of them.
KINDS: Mapping[str, type] = {
    "intent": str,
    "intent_category": str,
    "intent_matches": bool,
    "goal": str,
    "goal_status": str,
    "goal_actions_left": int,
    "delegation_depth": int,
    "delegated_by": str,
    "delegation_valid": bool,
    "actor_chain": list,
    "trust": str,
    "mode": str,
    "method": str,
    "host": str,
    "path": str,
    "model": str,
    "stream": bool,
    "tools": list,
    "max_tokens": int,
    "body_bytes": int,
    "server_trust": str,
    "tool_pinned": bool,
    "tool_changed": bool,
    "now": int,
    "hour": int,
    "weekday": int,
    "source_ip": str,
    "session": str,
}
_WORDS = {str: "a text", bool: "true or false", int: "a whole number", list: "a list of texts"}


def misfit(context: Mapping[str, object], resource: Entity) -> str:
    """Name the first value that is not what its attribute has to be; empty when all are."""
    if unwritable(resource.id):
        return "resource: is not Unicode text"
    for name, value in context.items():
        kind = KINDS.get(name)
        if kind is None:
            return f"context.{name}: no attribute of the schema; known: {', '.join(KINDS)}"
        if wrong := _wrong(kind, value):
            return f"context.{name}: {wrong}"
    return ""


def unwritable(text: str) -> bool:
    """True for half a character: a lone surrogate, which no text outside Python can hold."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _wrong(kind: type, value: object) -> str:
    if not (isinstance(value, str) if kind is str else type(value) is kind):
        return f"is not {_WORDS[kind]}"
    if isinstance(value, list):
        return next((wrong for entry in value if (wrong := _wrong(str, entry))), "")
    if isinstance(value, str) and unwritable(value):
        return "is not Unicode text"
    if type(value) is int and not -LARGEST - 1 <= value <= LARGEST:
        return "is beyond 64 bits"
    return ""
