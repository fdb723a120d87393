"""Hooks of mitmproxy's own addons are left out only where they would have done nothing."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import connection, hooks
from mitmproxy.flow import Flow
from mitmproxy.hooks import all_hooks
from mitmproxy.options import Options
from mitmproxy.proxy.layers.modes import Socks5AuthData
from mitmproxy.test import tflow
from mitmproxy.tools.dump import DumpMaster

from addons.dispatch import Dispatch
from addons.idle import HEARD_BY_ALL, SERVES, is_idle
from addons.options import PRESET

# Hooks that are about no traffic.
OTHERS = ("load", "configure", "add_log", "update", *HEARD_BY_ALL)


@pytest.fixture
async def master() -> Iterator[DumpMaster]:
    """mitmdump under our dispatch, with nothing set but what we set ourselves."""
    made = DumpMaster(Options(), with_termlog=False)
    Dispatch.take_over(made.addons)
    made.options.update(**PRESET, flow_detail=0)
    yield made
    await made.done()


def addon_of(master: DumpMaster, module: str) -> Any:
    """The addon of a module of mitmproxy's."""
    (found,) = [one for one in master.addons.chain if type(one).__module__ == module]
    return found


def message_for(hook: str) -> Any:
    """What a hook is called with."""
    if hook == "socks5_auth":
        return Socks5AuthData(connection.Client(peername=None, sockname=None), "ada", "secret")
    failed = hook.endswith("error")
    kind, has_answer = hook.split("_")[0], hook.startswith("response") or hook == "dns_response"
    match kind:
        case "tcp":
            return tflow.ttcpflow(err=failed)
        case "udp":
            return tflow.tudpflow(err=failed)
        case "dns":
            return tflow.tdnsflow(resp=has_answer, err=failed)
        case "websocket":
            return tflow.twebsocketflow()
    return tflow.tflow(resp=has_answer, err=failed)


@pytest.mark.parametrize("module", sorted(SERVES))
async def test_an_idle_hook_does_nothing(
    master: DumpMaster, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called all the same, it changes neither its flow nor itself, and says nothing."""
    addon = addon_of(master, module)
    named = [name for name in all_hooks if name not in OTHERS and hasattr(addon, name)]
    assert named
    for name in named:
        assert is_idle(addon, name, master.options)
        message, before = message_for(name), repr(vars(addon))
        was = message.get_state() if isinstance(message, Flow) else vars(message).copy()
        answer = getattr(addon, name)(message)
        if inspect.isawaitable(answer):
            await answer
        now = message.get_state() if isinstance(message, Flow) else vars(message)
        assert now == was
        assert repr(vars(addon)) == before
    assert capsys.readouterr().out == ""


async def test_an_addon_is_called_while_its_option_is_set(master: DumpMaster) -> None:
    """Set, changed to nothing, set again."""
    hook = hooks.all_hooks["request"]
    for value in (True, False, True):
        master.options.update(anticache=value)
        flow = tflow.tflow()
        flow.request.headers["if-none-match"] = "one"
        await master.addons.handle_lifecycle(hook(flow))
        assert ("if-none-match" in flow.request.headers) is not value


async def test_an_option_that_is_rolled_back_leaves_all_as_it_was(master: DumpMaster) -> None:
    """The index is made anew however a change ends."""
    hook = hooks.all_hooks["request"]
    master.options.update(anticache=True)
    with pytest.raises(Exception, match="Cannot parse"):
        master.options.update(anticache=False, block_list=["nonsense"])
    flow = tflow.tflow()
    flow.request.headers["if-none-match"] = "one"
    await master.addons.handle_lifecycle(hook(flow))
    assert "if-none-match" not in flow.request.headers


async def test_an_addon_made_from_one_of_these_is_called(master: DumpMaster) -> None:
    """What somebody's own addon does is not for us to say."""

    class Theirs(type(addon_of(master, "mitmproxy.addons.anticache"))):  # type: ignore[misc]
        name = "theirs"

    assert not is_idle(Theirs(), "request", master.options)
