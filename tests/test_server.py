"""What mitmproxy's server would do for an event is done, without a wait where it is free."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from mitmproxy.proxy import commands, events, mode_specs
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO
from mitmproxy.test import taddons, tflow

from addons.server import Handler


class Peer:
    """The end of a connection, and the task that reads it."""

    def __init__(self, said: list[Any]) -> None:
        self._said = said

    def get_extra_info(self, _: str, default: str | None = None) -> Any:
        """An address, where nothing else is expected."""
        return default or ("127.0.0.1", 1)

    def is_closing(self) -> bool:
        """It never is."""
        return False

    def write_eof(self) -> None:
        """Note that no more is coming."""
        self._said.append("no more")

    def cancel(self, why: str) -> None:
        """Note why."""
        self._said.append(why)


class Noting(Handler):
    """A handler whose layers say what they are told to, and which notes what is done of it."""

    def __init__(self, options: Any, master: Any) -> None:
        self.said: list[Any] = []
        peer: Any = Peer(self.said)
        mode = mode_specs.ProxyMode.parse("regular")
        super().__init__(master, peer, peer, options, mode)  # type: ignore[no-untyped-call]
        self.transports[self.client] = ConnectionIO(handler=peer, writer=peer)
        self.layer = cast(Any, self)
        self.script: list[commands.Command] = []

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        """The layer."""
        assert not self.is_free()
        yield from self.script

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Note whom to, and that it is known only once this waits."""
        self.said.append((command.connection.address, command.connection in self.transports))
        await asyncio.sleep(0)

    async def wakeup(self, request: commands.RequestWakeup) -> None:
        """Note when."""
        self.said.append(request.delay)
        await asyncio.sleep(0)

    def log(self, message: str, *_: Any, **__: Any) -> None:
        """Note it."""
        self.said.append(message)


@pytest.fixture
async def handlers() -> Any:
    """Two of the same."""
    with taddons.context() as known:
        yield [Noting(known.options, known.master) for _ in range(2)]


SCRIPTS = [
    pytest.param(lambda _: commands.Log("a line"), id="a log line"),
    pytest.param(lambda _: commands.RequestWakeup(0.5), id="a time to be woken at"),
    pytest.param(lambda _: commands.OpenConnection(tflow.tserver_conn()), id="somebody to dial"),
    pytest.param(lambda handler: commands.CloseConnection(handler.client), id="an end"),
    pytest.param(lambda handler: commands.CloseTcpConnection(handler.client), id="an end of TCP"),
    pytest.param(
        lambda handler: commands.CloseTcpConnection(handler.client, half_close=True), id="half"
    ),
    pytest.param(lambda _: commands.CloseConnection(tflow.tserver_conn()), id="the end of nobody"),
    pytest.param(lambda _: commands.Command(), id="what nobody knows"),
]


@pytest.mark.parametrize("command", SCRIPTS)
async def test_a_server_does_what_mitmproxy_would(handlers: Any, command: Any) -> None:
    """Whatever a layer needs it for."""
    ours, theirs = handlers
    for handler in handlers:
        handler.script = [command(handler)] * 2
        if isinstance(handler.script[0], commands.OpenConnection):
            handler.script.pop()
    ours.work_through(events.Start())
    await ConnectionHandler.server_event(theirs, events.Start())
    await asyncio.sleep(0)
    assert ours.said == theirs.said
    assert ours.client.state == theirs.client.state
    assert len(ours.transports) == len(theirs.transports)
    assert len(ours.wakeup_timer) == len(theirs.wakeup_timer)
    assert ours.is_free()


async def test_an_event_waits_for_the_one_before_it(handlers: Any) -> None:
    """Also where that one has set it off."""
    handler, heard = handlers[0], []

    def hear(event: events.Event) -> Iterator[commands.Command]:
        heard.append(type(event).__name__)
        if isinstance(event, events.Start):
            told = asyncio.eager_task_factory(
                asyncio.get_running_loop(), handler.server_event(events.Wakeup(woken))
            )
            waiting.append(told)
        heard.append("over")
        yield from ()

    woken, waiting = commands.RequestWakeup(1.0), []  # type: ignore[var-annotated]
    handler.handle_event = hear
    await handler.server_event(events.Start())
    assert heard == ["Start", "over"]
    assert not handler.is_free()
    await asyncio.gather(*waiting)
    assert heard == ["Start", "over", "Wakeup", "over"]
    assert handler.is_free()
