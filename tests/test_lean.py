"""What is left out of mitmproxy is not missed."""

import io
import logging
from collections.abc import Callable
from typing import Any, cast
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.addons.disable_h2c import DisableH2C
from mitmproxy.addons.termlog import TermLogHandler
from mitmproxy.hooks import RunningHook
from mitmproxy.log import MitmFormatter
from mitmproxy.net.http import validate
from mitmproxy.options import Options
from mitmproxy.optmanager import OptManager
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.test import tflow, tutils

from addons import lean

TOLD = st.sampled_from([b"Host", b"content-length", b"Content-Length", b"transfer-encoding", b""])
NAMED = st.one_of(TOLD, st.binary(max_size=2))
SAID = st.sampled_from([b"0", b"12", b"+1", b"01", b"", b"chunked", b"gzip", b"1, 1"])


@given(st.lists(st.tuples(NAMED, SAID), max_size=3).map(tuple), st.booleans())
def test_a_head_is_good_that_mitmproxy_finds_good(
    fields: tuple[tuple[bytes, bytes], ...], asked: bool
) -> None:
    """Its names, its lengths and its codings; what mitmproxy refuses is refused with its words."""
    message = tutils.treq() if asked else tutils.tresp()
    message.headers = http.Headers(fields)
    assert _raised(lean.check_fields, message) == _raised(validate.validate_headers, message)


def _raised(check: Callable[[http.Message], None], message: http.Message) -> str:
    try:
        check(message)
    except ValueError as e:
        return str(e)
    return ""


@pytest.mark.parametrize("value", [None, True, 3, "text", ["a"], []])
def test_an_option_has_the_value_that_mitmproxy_says(value: object) -> None:
    """Set or by default, and never one that could be changed in its place."""
    options = OptManager()
    options.add_option("name", Any, value, "help")
    for _ in range(2):
        assert lean.setting(options, "name") == options._options["name"].current() == value
        options._options["name"].set(value)
    if isinstance(value, list):
        assert lean.setting(options, "name") is not value
    with pytest.raises(AttributeError, match="none"):
        lean.setting(options, "none")


def test_a_message_is_copied_whole_and_shares_nothing() -> None:
    """Head, body and trailers; a change to the copy is none to the original."""
    for message in (tutils.treq(trailers=http.Headers(a="b")), tutils.tresp()):
        made = lean.copy_of(message)
        assert (type(made), made.get_state()) == (type(message), message.get_state())
        made.headers["x"] = "y"
        made.trailers = http.Headers(c="d")
        assert "x" not in message.headers
        assert "c" not in (message.trailers or ())


def test_a_fork_has_layers_of_its_own() -> None:
    """Above those of the context that it comes from, and the same connections."""
    known = context.Context(tflow.tclient_conn(), Options())
    known.layers = [layer.NextLayer(known)]
    made, theirs = lean.fork(known), _fork(known)
    assert vars(made) == vars(theirs)
    assert made.layers is not known.layers


def test_a_flow_has_a_name_of_its_own() -> None:
    """A random UUID, spelled as everybody spells it."""
    names = {lean.name_of_its_own() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        assert (str(UUID(name)), UUID(name).version, UUID(name).variant) == (name, 4, RFC_4122)


def test_a_hook_has_the_arguments_that_mitmproxy_says() -> None:
    """All its fields, and nothing else that was put on it."""
    hook = HttpRequestHook(tflow.tflow())
    hook.blocking = False
    assert lean.arguments_of(hook) == [hook.flow]
    assert lean.arguments_of(RunningHook()) == []


def test_what_is_sent_and_what_is_over_are_what_mitmproxy_makes() -> None:
    """The same fields, and the same values."""
    client = tflow.tclient_conn()
    plain, ours = commands.SendData(client, b"x"), object.__new__(commands.SendData)
    lean.send(ours, client, b"x")
    assert ours.__dict__ == plain.__dict__
    hook = HttpRequestHook(tflow.tflow())
    ended = lean.made(events.HookCompleted, hook, None)
    ended.__init__(hook)
    assert ended == events.HookCompleted(hook)


@given(
    method=st.sampled_from([b"GET", b"PRI", b"pri"]),
    path=st.sampled_from([b"/", b"*"]),
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/2.0"]),
    upgrade=st.sampled_from([None, "h2c", "websocket"]),
)
def test_an_upgrade_to_http2_is_taken_off_as_mitmproxy_does(
    method: bytes, path: bytes, version: bytes, upgrade: str | None
) -> None:
    """And what begins like HTTP/2 that was known of before is killed."""
    flows = []
    for request in (lean.disable, _disable):
        flow = tflow.tflow()
        data = flow.request.data
        data.method, data.path, data.http_version = method, path, version
        if upgrade:
            flow.request.headers["Upgrade"] = upgrade
            flow.request.headers["Connection"] = "Upgrade"
        request(DisableH2C(), flow)
        flows.append((flow.request.headers.fields, flow.error and flow.error.msg))
    assert flows[0] == flows[1]


def test_a_connection_is_the_same_whose_id_is() -> None:
    """Itself, and a copy of it."""
    one, other = tflow.tclient_conn(), tflow.tserver_conn()
    copied = type(one).from_state(one.get_state())
    for two in (one, copied, other, None, 1):
        assert lean.same(one, two) == (two is one or getattr(two, "id", None) == one.id)


@pytest.mark.parametrize("colorful", [False, True])
def test_a_line_of_the_log_reads_as_mitmproxy_writes_it(colorful: bool) -> None:
    """With its time to the millisecond, its colour, its client, and what went wrong."""
    told = logging.LogRecord("a", logging.INFO, "", 0, "%s of %s", ("one", 2), None)
    wrong = logging.LogRecord("a", logging.ERROR, "", 0, "no", (), (OSError, OSError("x"), None))
    wrong.client = ("::1", 80)
    for record in (told, wrong):
        for moment, millis in ((0.0, 0.0), (1e9 + 0.9999, 999.9), (1.7e9 + 0.007, 7.0)):
            record.created, record.msecs = moment, millis
            ours, theirs = io.StringIO(), io.StringIO()
            for out, formatter, emit in ((ours, Ours, lean.write), (theirs, MitmFormatter, _emit)):
                handler = TermLogHandler(out)
                handler.formatter = formatter(colorful)
                emit(handler, record)
            assert ours.getvalue() == theirs.getvalue()


def test_a_log_that_takes_nothing_ends_the_program() -> None:
    """As with mitmproxy: nobody would hear of anything any more."""
    handler = TermLogHandler(cast(Any, Full()))
    with pytest.raises(SystemExit):
        lean.write(handler, logging.LogRecord("a", logging.INFO, "", 0, "one", (), None))


class Full(io.StringIO):
    """A file on a disk that is full."""

    def write(self, text: str, /) -> int:
        """Fail."""
        raise OSError(text)


class Ours(MitmFormatter):
    """What lines look like once ours is in force."""

    formatTime = lean.time_of


_disable = DisableH2C.request
_emit = TermLogHandler.emit
_fork = context.Context.fork
