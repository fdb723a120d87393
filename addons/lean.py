"""Leaves out what mitmproxy does at every call and nobody looks at; what it answers is the same."""

import copy
import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import http, optmanager
from mitmproxy.log import LegacyLogEvents
from mitmproxy.utils import asyncio_utils


def trim(is_heard: Callable[[str], bool]) -> None:
    """Begin to; `is_heard` says whether any addon has a hook of that name.

    The checks of a message's types mitmproxy leaves out itself when Python runs with -O. Names of
    tasks are for its debugger, and log lines as events for addons of old.
    """
    checked: Any = http.MessageData
    checked.__post_init__ = lambda _: None
    headers: Any = http.Headers
    headers.get_all = values_of
    headers.__getitem__ = value_of
    headers.__contains__ = holds
    headers.get = get
    headers.pop = pop
    option: Any = optmanager._Option
    option.current = current
    named: Any = asyncio_utils
    named.set_task_debug_info = lambda *_, **__: None
    if not is_heard("add_log"):
        for handler in [h for h in logging.getLogger().handlers if isinstance(h, LegacyLogEvents)]:
            handler.uninstall()


def values_of(headers: http.Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`: every value of a header, in one pass over the fields."""
    wanted = _key(name)
    return [
        value.decode("utf-8", "surrogateescape")
        for field, value in headers.fields
        if field.lower() == wanted
    ]


def value_of(headers: http.Headers, name: str | bytes) -> str:
    """`Headers.__getitem__`: the values of a header, folded; raises KeyError for none."""
    values = values_of(headers, name)
    if not values:
        raise KeyError(name)
    return ", ".join(values)


def get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """`Headers.get`: the values of a header, folded."""
    values = values_of(headers, name)
    return ", ".join(values) if values else default


def pop(headers: http.Headers, name: str | bytes, *default: Any) -> Any:
    """`Headers.pop`: take every value of a header off and answer them, folded."""
    values = values_of(headers, name)
    if not values:
        if default:
            return default[0]
        raise KeyError(name)
    wanted = _key(name)
    headers.fields = tuple(field for field in headers.fields if field[0].lower() != wanted)
    return ", ".join(values)


def current(option: Any) -> Any:
    """`_Option.current`: the value of an option, a copy only of what could be changed."""
    value = option._default if option.value is optmanager.unset else option.value
    return value if isinstance(value, str | int | None) else copy.deepcopy(value)


def holds(headers: http.Headers, name: object) -> bool:
    """`Headers.__contains__`: whether a header is there."""
    if not isinstance(name, (str, bytes)):
        return False
    wanted = _key(name)
    return any(field.lower() == wanted for field, _ in headers.fields)


def _key(name: str | bytes) -> bytes:
    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    return raw.lower()
