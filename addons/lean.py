"""Leaves out what mitmproxy does at every call and nobody looks at; what it answers is the same."""

import copy
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from mitmproxy import connection, flow, hooks, http, optmanager
from mitmproxy.addons import disable_h2c, termlog, tlsconfig
from mitmproxy.log import LegacyLogEvents, MitmFormatter
from mitmproxy.net.http import validate
from mitmproxy.proxy import commands, context, events, layers
from mitmproxy.utils import asyncio_utils

from addons import headers
from addons.headers import copied, index_of


def trim(is_heard: Callable[[str], bool]) -> None:
    """Begin to; `is_heard` says whether any addon has a hook of that name.

    The checks of a message's types mitmproxy leaves out itself when Python runs with -O. Names of
    tasks are for its debugger, and log lines as events for addons of old.
    """
    checked: Any = http.MessageData
    checked.__post_init__ = lambda _: None
    headers.take_over()
    connected: Any = connection.Connection
    connected.__eq__ = same
    message: Any = http.Message
    message.copy = copy_of
    http_layer: Any = layers.http
    http_layer.validate_headers = check_fields
    lengths: Any = validate
    lengths.parse_content_length = lru_cache(1024)(validate.parse_content_length)
    tls: Any = tlsconfig.TlsConfig
    tls.request = answer_crl
    plain: Any = disable_h2c.DisableH2C
    plain.request = disable
    layered: Any = context.Context
    layered.fork = fork
    hook: Any = hooks.Hook
    hook.args = arguments_of
    hook.__new__ = staticmethod(made)
    started: Any = commands.StartHook
    started.__new__ = staticmethod(made)
    completed: Any = events.CommandCompleted
    completed.__new__ = staticmethod(made)
    sent: Any = commands.SendData
    sent.__init__ = send
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


def disable(addon: disable_h2c.DisableH2C, flow: http.HTTPFlow) -> None:
    """`DisableH2C.request`: no upgrade to HTTP/2, and none that was known of before."""
    data = flow.request.data
    if b"upgrade" in index_of(data.headers) or data.method.upper() == b"PRI":
        _disable(addon, flow)


_disable: Any = disable_h2c.DisableH2C.request


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
    made.data.headers = copied(message.headers)
    if message.trailers is not None:
        made.data.trailers = copied(message.trailers)
    twin: M = made
    return twin


def made(kind: type, *_: Any, **__: Any) -> Any:
    """`Hook.__new__`, and that of what ends one: a new one; its kind is a dataclass."""
    return object.__new__(kind)


def send(command: commands.SendData, connection: connection.Connection, data: bytes) -> None:
    """`SendData.__init__`."""
    command.connection, command.data = connection, data


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


def setting(options: Any, name: str) -> Any:
    """`OptManager.__getattr__`: the value of an option, a copy only of what could be changed."""
    option = options._options.get(name)
    if option is None:
        raise AttributeError(f"No such option: {name}")
    value = option._default if option.value is optmanager.unset else option.value
    return value if isinstance(value, _CANNOT_CHANGE) else copy.deepcopy(value)


_CANNOT_CHANGE = (str, int, type(None))
