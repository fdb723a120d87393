"""The index of hooks always fits the chain of addons."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import exceptions, hooks
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.server_hooks import ServerConnectHook, ServerConnectionHookData
from mitmproxy.test import tflow

from addons.dial import Dial
from addons.dispatch import Dispatch
from addons.door import Door


class Heard:
    """An addon that notes what it is told."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name = name
        self._heard = heard

    def running(self) -> None:
        """Note it."""
        self._heard.append(self.name)


class Parent:
    """An addon that has another below it, which may be exchanged."""

    def __init__(self, *addons: Any) -> None:
        self.addons = list(addons)


@pytest.fixture
async def master() -> Iterator[Master]:
    """A master without addons, under our dispatch."""
    made = Master(Options())
    Dispatch.take_over(made.addons)
    return made


async def told(master: Master, heard: list[str]) -> list[str]:
    """Who hears of an event now."""
    heard.clear()
    await master.addons.trigger_event(hooks.RunningHook())
    return list(heard)


async def test_hooks_are_called_in_the_order_of_the_chain(master: Master) -> None:
    """Parents come before what is below them, and what was added first comes first."""
    heard: list[str] = []
    first, inner, last = (Heard(name, heard) for name in ("first", "inner", "last"))
    master.addons.add(first, Parent(inner), last)
    assert await told(master, heard) == ["first", "inner", "last"]


async def test_a_halt_keeps_an_event_from_others_but_never_from_ours(master: Master) -> None:
    """A script cannot have a server dialled that nobody looked at."""
    heard: list[str] = []

    class Halting:
        def server_connect(self, data: ServerConnectionHookData) -> None:
            raise exceptions.AddonHalt

    class Later:
        def server_connect(self, data: ServerConnectionHookData) -> None:
            heard.append("another addon")

    master.addons.add(Halting(), Later(), Dial(Door()))
    flow = tflow.tflow()
    flow.server_conn.address, flow.server_conn.error = ("169.254.169.254", 80), None
    asked = ServerConnectionHookData(flow.server_conn, flow.client_conn)
    await master.addons.trigger_event(ServerConnectHook(asked))
    assert "refused to dial" in str(asked.server.error)
    assert heard == []


async def test_who_is_added_or_removed_later_is_noticed(master: Master) -> None:
    """The index is made anew whenever the chain has changed."""
    heard: list[str] = []
    stays, comes = Heard("stays", heard), Heard("comes", heard)
    master.addons.add(stays)
    assert await told(master, heard) == ["stays"]
    master.addons.add(comes)
    assert await told(master, heard) == ["stays", "comes"]
    master.addons.remove(stays)
    assert await told(master, heard) == ["comes"]


async def test_what_a_parent_exchanges_while_it_is_configured_is_noticed(master: Master) -> None:
    """Scripts come, go and change places in `configure`."""
    heard: list[str] = []
    old, new = Heard("old", heard), Heard("new", heard)

    class Exchanging(Parent):
        def configure(self, updated: set[str]) -> None:
            if "listen_host" in updated:
                self.addons = [new]

    master.addons.add(Exchanging(old))
    assert await told(master, heard) == ["old"]
    master.options.update(listen_host="127.0.0.1")
    assert await told(master, heard) == ["new"]


async def test_a_hook_that_fails_does_not_keep_others_from_theirs(master: Master) -> None:
    """Its flow is refused, and everybody else still hears of it."""
    seen = []

    class Broken:
        def request(self, flow: Any) -> None:
            raise ZeroDivisionError("sabotage")

    class Sound:
        async def request(self, flow: Any) -> None:
            seen.append(flow.response.status_code)

    master.addons.add(Broken(), Sound())
    flow = tflow.tflow()
    await master.addons.handle_lifecycle(_request(flow))
    assert seen == [503]


def _request(flow: Any) -> hooks.Hook:
    from mitmproxy.proxy.layers.http import HttpRequestHook

    return HttpRequestHook(flow)


async def test_what_need_not_wait_is_over_at_once(master: Master) -> None:
    """Whoever asked need not wait for it either; what comes behind a hook that waits does."""
    heard: list[str] = []

    class Plain:
        def request(self, flow: Any) -> None:
            heard.append("plain")

    class Waiting:
        async def request(self, flow: Any) -> None:
            await asyncio.sleep(0)
            heard.append("waited")

    chain: Any = master.addons
    flow = tflow.tflow()
    master.addons.add(Plain())
    assert chain.begin("request", [flow]) is None
    assert heard == ["plain"]
    heard.clear()
    master.addons.add(Waiting(), Late(heard))
    rest = chain.begin("request", [flow])
    assert heard == ["plain"]
    await rest
    assert heard == ["plain", "waited", "late"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_halt_or_a_failure_is_the_same_whenever_it_comes(
    master: Master, waits: bool
) -> None:
    """At once, or after a hook has waited: a script ends an event, a broken hook refuses it."""
    heard: list[str] = []

    class Failing:
        def __init__(self, error: Exception) -> None:
            self.name = type(error).__name__
            self._error = error

        def request(self, flow: Any) -> Any:
            if not waits:
                raise self._error
            return self._later()

        async def _later(self) -> None:
            await asyncio.sleep(0)
            raise self._error

    master.addons.add(
        Failing(ZeroDivisionError("sabotage")), Failing(exceptions.AddonHalt()), Late(heard)
    )
    flow = tflow.tflow()
    await master.addons.handle_lifecycle(_request(flow))
    assert flow.response.status_code == 503
    assert heard == []


class Late:
    """An addon behind others, which is not ours."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard

    def request(self, flow: Any) -> None:
        """Note it."""
        self._heard.append("late")
