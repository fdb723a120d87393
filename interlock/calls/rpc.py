"""The answer to messages that are refused, as JSON-RPC 2.0 errors that a client shows."""

from collections.abc import Sequence
from typing import Any

from interlock.model import Message

# Of the codes that a server may define for itself (JSON-RPC 2.0, 5.1).
REFUSED = -32001


def error(message: Message, text: str, data: dict[str, Any]) -> dict[str, Any]:
    """One error with the id of the message that it answers; null for what has none."""
    told = {"code": REFUSED, "message": text, "data": data}
    return {"jsonrpc": "2.0", "id": message.id, "error": told}


def errors(told: Sequence[dict[str, Any]], *, batch: bool) -> Any:
    """The body of an answer: one error, or for a batch those to its requests."""
    answers = [one for one in told if one["id"] is not None]
    return answers if batch and answers else told[0]
