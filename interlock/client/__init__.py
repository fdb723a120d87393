"""For agents and tools written in Python: register, live, ask, and say why they call."""

from interlock.client.answer import Answer
from interlock.client.client import Client
from interlock.client.errors import ApiError, ClientError, UnreachableError
from interlock.client.reason import declare, declared

__all__ = [
    "Answer",
    "ApiError",
    "Client",
    "ClientError",
    "UnreachableError",
    "declare",
    "declared",
]
