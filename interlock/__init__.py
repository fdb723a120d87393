"""Interlock: runtime governance for AI agents."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
_OF_THE_CLIENT = ("Client", "declare", "declared")


def __getattr__(name: str) -> Any:
    """Load the client when somebody uses it; the commands do without."""
    if name in _OF_THE_CLIENT:
        return getattr(import_module("interlock.client"), name)
    raise AttributeError(f"module 'interlock' has no attribute {name!r}")
