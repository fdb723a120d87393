"""Leaves out what mitmproxy does at every call and nobody looks at; what it answers is the same."""

import copy
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from itertools import chain
from types import SimpleNamespace
from typing import Any

from mitmproxy import connection, flow, hooks, http, optmanager
from mitmproxy.addons import termlog, tlsconfig
from mitmproxy.log import LegacyLogEvents, MitmFormatter
from mitmproxy.net.http import validate
from mitmproxy.proxy import context, layers
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
    headers.set_all = put
    headers.__getitem__ = value_of
    headers.__contains__ = holds
    headers.get = get
    headers.pop = pop
    headers.__init__ = begin
    headers.__bytes__ = block_of
    connected: Any = connection.Connection
    connected.__eq__ = same
    message: Any = http.Message
    message.copy = copy_of
    http_layer: Any = layers.http
    http_layer.validate_headers = check_fields
    tls: Any = tlsconfig.TlsConfig
    tls.request = answer_crl
    layered: Any = context.Context
    layered.fork = fork
    hook: Any = hooks.Hook
    hook.args = arguments_of
    hook.__new__ = staticmethod(made)
    options: Any = optmanager.OptManager
    options.__getattr__ = setting
    flows: Any = flow
    flows.uuid = SimpleNamespace(uuid4=name_of_its_own)
    named: Any = asyncio_utils
    named.set_task_debug_info = lambda *_, **__: None
    shown: Any = termlog.TermLogHandler
    shown.emit = write
    formatted: Any = MitmFormatter
    formatted.formatTime = time_of
    told: Any = logging  # what no log line shows ("Optimization", in Python's logging how-to)
    told._srcfile = None
    told.logThreads = told.logProcesses = told.logMultiprocessing = told.logAsyncioTasks = False
    if not is_heard("add_log"):
        for handler in [h for h in logging.getLogger().handlers if isinstance(h, LegacyLogEvents)]:
            handler.uninstall()


def write(handler: termlog.TermLogHandler, record: logging.LogRecord) -> None:
    """`TermLogHandler.emit`: a line in one piece, where `print` writes two."""
    try:
        handler.file.write(f"{handler.format(record)}\n")
    except OSError:
        sys.exit(1)


def time_of(_: MitmFormatter, record: logging.LogRecord, datefmt: str | None = None) -> str:
    """`MitmFormatter.formatTime`: when a line was said; of each second all but the end is kept."""
    return f"{_clock(int(record.created))}.{int(record.msecs):03}"


@lru_cache(1)
def _clock(second: int) -> str:
    return time.strftime(MitmFormatter.default_time_format, time.localtime(second))


def name_of_its_own() -> str:
    """`str(uuid.uuid4())`: a random UUID as text (RFC 9562, 5.4)."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def begin(
    headers: http.Headers, fields: Iterable[tuple[bytes, bytes]] = (), **named: str | bytes
) -> None:
    """`Headers()`: the fields, and then what was named."""
    headers.fields = tuple([(name, value) for name, value in fields])
    b"".join(chain.from_iterable(headers.fields))  # raises TypeError for what is not bytes
    for name, value in named.items():
        headers[_raw(name).replace(b"_", b"-")] = value


def block_of(headers: http.Headers) -> bytes:
    """`bytes(headers)`: the lines of HTTP/1 (RFC 9112, 2.1)."""
    lines = [b": ".join(field) for field in headers.fields]
    return b"\r\n".join([*lines, b""])


def check_fields(message: http.Message) -> None:
    """`validate_headers`: names are tokens, and the framing is clear; raises ValueError."""
    told = index_of(message.data.headers)
    lengths = told.get(b"content-length", _NO_LENGTH)
    is_plain = len(lengths) == 1 and b"transfer-encoding" not in told and b"" not in told
    if is_plain and (not told or _TOKENS.fullmatch(b"".join(told))):
        validate.parse_content_length(lengths[0])
    else:
        validate.validate_headers(message)


# What names consist of (RFC 9110, 5.6.2), in lower case.
_TOKENS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_NO_LENGTH = [b"0"]


def answer_crl(addon: tlsconfig.TlsConfig, flow: http.HTTPFlow) -> None:
    """`TlsConfig.request`: mitmproxy's list of revoked certificates, to who asks for one."""
    if flow.request.data.path.endswith(b".crl"):
        _answer_crl(addon, flow)


_answer_crl: Any = tlsconfig.TlsConfig.request


def same(one: connection.Connection, other: object) -> bool:
    """`Connection.__eq__`: mostly asked of one and the same."""
    if one is other:
        return True
    return one.id == getattr(other, "id", None) and isinstance(other, connection.Connection)


def copy_of[M: http.Message](message: M) -> M:
    """`Message.copy`: the same head and body, nothing shared that could be changed."""
    made: Any = object.__new__(type(message))
    made.data = object.__new__(type(message.data))
    made.data.__dict__.update(message.data.__dict__)
    made.data.headers = _copied(message.headers)
    if message.trailers is not None:
        made.data.trailers = _copied(message.trailers)
    copied: M = made
    return copied


def _copied(headers: http.Headers) -> http.Headers:
    """The same fields, and the index of them: neither is ever changed in its place."""
    made = http.Headers.__new__(http.Headers)
    made.__dict__.update(headers.__dict__)
    return made


def made(kind: type, *_: Any, **__: Any) -> Any:
    """`Hook.__new__`: a new one; that its kind is a dataclass was so when it was first asked."""
    return object.__new__(kind)


def fork(known: context.Context) -> context.Context:
    """`Context.fork`: the same connections, and layers of its own above those that there are."""
    made = object.__new__(context.Context)
    made.client, made.server, made.options = known.client, known.server, known.options
    made.layers = known.layers.copy()
    return made


def arguments_of(hook: hooks.Hook) -> list[Any]:
    """`Hook.args`: the values of its fields."""
    kind: Any = type(hook)
    return [getattr(hook, name) for name in _fields_of(kind)]


@cache
def _fields_of(hook: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(hook))


def values_of(headers: http.Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`: every value of a header."""
    values = index_of(headers).get(_key(name))
    return [value.decode("utf-8", "surrogateescape") for value in values] if values else []


def put(headers: http.Headers, name: str | bytes, values: Iterable[str | bytes]) -> None:
    """`Headers.set_all`: have a header with these values, where it stands or else at the end."""
    raw, wanted = [_raw(value) for value in values], _key(name)
    if wanted not in index_of(headers):
        headers.fields = (*headers.fields, *((_raw(name), value) for value in raw))
        return
    kept = []
    for field in headers.fields:
        if field[0].lower() != wanted:
            kept.append(field)
        elif raw:
            kept.append((field[0], raw.pop(0)))
    headers.fields = (*kept, *((_raw(name), value) for value in raw))


def value_of(headers: http.Headers, name: str | bytes) -> str:
    """`Headers.__getitem__`: the values of a header, folded; raises KeyError for none."""
    values = index_of(headers).get(_key(name))
    if not values:
        raise KeyError(name)
    return _folded(values)


def get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """`Headers.get`: the values of a header, folded."""
    values = index_of(headers).get(_key(name))
    return b", ".join(values).decode("utf-8", "surrogateescape") if values else default


def pop(headers: http.Headers, name: str | bytes, *default: Any) -> Any:
    """`Headers.pop`: take every value of a header off and answer them, folded."""
    wanted = _key(name)
    values = index_of(headers).get(wanted)
    if not values:
        if default:
            return default[0]
        raise KeyError(name)
    headers.fields = tuple([field for field in headers.fields if field[0].lower() != wanted])
    return _folded(values)


def setting(options: Any, name: str) -> Any:
    """`OptManager.__getattr__`: the value of an option, a copy only of what could be changed."""
    option = options._options.get(name)
    if option is None:
        raise AttributeError(f"No such option: {name}")
    value = option._default if option.value is optmanager.unset else option.value
    return value if isinstance(value, _CANNOT_CHANGE) else copy.deepcopy(value)


_CANNOT_CHANGE = (str, int, type(None))


def holds(headers: http.Headers, name: object) -> bool:
    """`Headers.__contains__`: whether a header is there."""
    return isinstance(name, (str, bytes)) and _key(name) in index_of(headers)


def index_of(headers: http.Headers) -> Mapping[bytes, list[bytes]]:
    """The values by name in lower case, kept for as long as the fields, a tuple, are the same."""
    fields = headers.fields
    kept: tuple[Any, dict[bytes, list[bytes]]] | None = headers.__dict__.get("_kept")
    if kept is not None and kept[0] is fields:
        return kept[1]
    index: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        index.setdefault(name.lower(), []).append(value)
    headers.__dict__["_kept"] = (fields, index)
    return index


def _folded(values: list[bytes]) -> str:
    return b", ".join(values).decode("utf-8", "surrogateescape")


def _raw(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@lru_cache(1024)
def _key(name: str | bytes) -> bytes:
    return _raw(name).lower()
