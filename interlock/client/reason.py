"""Why the calls in a block are made, as the headers that the front door reads and takes off."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

HEADERS = {
    "intent": "Interlock-Intent",
    "intent_category": "Interlock-Intent-Category",
    "goal": "Interlock-Goal",
    "delegation": "Interlock-Delegation",
    "approval": "Interlock-Approval",
}
_current: ContextVar[Mapping[str, str]] = ContextVar("interlock-reason", default={})  # noqa: B039


@contextmanager
def declare(
    *,
    intent: str = "",
    intent_category: str = "",
    goal: str = "",
    delegation: str = "",
    approval: str = "",
) -> Iterator[None]:
    """Declare this for the calls inside; an inner block changes what it names.

    It holds for the task or thread that runs the block, and for tasks that are started in it.
    Raises ValueError for a value that no header can hold.
    """
    given = {
        "intent": intent,
        "intent_category": intent_category,
        "goal": goal,
        "delegation": delegation,
        "approval": approval,
    }
    said = {name: value for name, value in given.items() if value}
    for name, value in said.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"{name}: use one line of printable ASCII")
    before = _current.set({**_current.get(), **said})
    try:
        yield
    finally:
        _current.reset(before)


def declared[R](request: R) -> R:
    """Put what is declared on a request: the `auth` of an httpx client or a requests session.

    Both call it with each request before it is sent; outside of a block it changes nothing.
    """
    headers: Any = request.headers  # type: ignore[attr-defined]
    for name, value in _current.get().items():
        headers[HEADERS[name]] = value
    return request


def current() -> Mapping[str, str]:
    """What is declared here, by short names."""
    return _current.get()
