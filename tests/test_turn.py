"""A turn takes an event through to its end, in the order in which mitmproxy would."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mitmproxy.proxy import commands, events
from mitmproxy.test import tflow

from addons.turn import LARGE_BYTES, MOST_AT_ONCE, Rest, Turn, turn_of


class Asked(commands.StartHook):
    """A hook that some layer waits for."""

    name = "asked"
    blocking = True

    def __new__(cls, *_: object, **__: object) -> "Asked":
        return object.__new__(cls)

    def __init__(self, waits: bool = False) -> None:
        self.waits = waits


class Writer:
    """The end of a connection, which notes what is written to it."""

    def __init__(self, said: list[Any]) -> None:
        self._said = said

    def is_closing(self) -> bool:
        """It never is."""
        return False

    def write(self, data: bytes) -> None:
        """Note it."""
        self._said.append(data)


class Server:
    """What a turn needs of mitmproxy's server, with a layer that does what it is given."""

    def __init__(self, *script: list[commands.Command]) -> None:
        self.said: list[Any] = []
        self._script = list(script)
        self.client = tflow.tclient_conn()
        self.transports = {self.client: self}
        self.writer = Writer(self.said)
        self.turn = Turn(self, self)

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        """The layer: the next part of the script."""
        self.said.append(type(event).__name__)
        yield from self._script.pop(0) if self._script else ()

    _paused, _handle_event = None, handle_event

    def busy(self) -> None:
        """Whether it times out is not looked at."""

    idle = busy

    def begin(self, hook: Asked) -> Rest | None:
        """The addons, on the spot."""
        if hook.waits:
            return self.call(hook)
        self.said.append("hook")
        return None

    async def call(self, hook: Asked) -> None:
        """The addons."""
        self.said.append("hook")
        if hook.waits:
            await asyncio.sleep(0)

    async def server_event(self, event: events.Event) -> None:
        """The server: what it is needed for it notes."""
        self.said += [type(command).__name__ for command in self.turn.handle_event(event)]

    def send(self, data: bytes) -> commands.SendData:
        """The command to send something to the client."""
        return commands.SendData(self.client, data)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds, or what comes next says what does not."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)


async def test_what_is_sent_in_one_go_is_written_in_one_piece() -> None:
    """And before any command that might close the connection."""
    server = Server()
    server._script = [
        [server.send(b"a"), server.send(b"b"), commands.CloseConnection(server.client)]
    ]
    await server.server_event(events.Start())
    assert server.said == ["Start", b"ab", "CloseConnection"]


async def test_what_is_large_is_written_by_itself() -> None:
    """The peer can read it while the rest is made, and nothing of it is copied."""
    large = b"x" * (LARGE_BYTES + 1)
    server = Server()
    server._script = [[server.send(b"a"), server.send(large), server.send(b"b")]]
    await server.server_event(events.Start())
    assert server.said == ["Start", b"a", large, b"b"]
    assert server.said[2] is large


async def test_a_hook_that_does_not_wait_is_over_when_its_event_is() -> None:
    """It is called once all is sent, and what it was called for goes on at once."""
    server = Server()
    server._script = [[Asked(), server.send(b"a")], [server.send(b"b")]]
    await server.server_event(events.Start())
    assert server.said == ["Start", b"a", "hook", "HookCompleted", b"b"]


async def test_a_hook_that_waits_holds_up_nobody() -> None:
    """Its end is an event of its own."""
    server = Server([Asked(waits=True)])
    await server.server_event(events.Start())
    assert server.said == ["Start", "hook"]
    await until(lambda: len(server.said) == 3)
    assert server.said == ["Start", "hook", "HookCompleted"]


async def test_hooks_without_end_leave_others_their_turn() -> None:
    """After so many in a row they wait, as each would with mitmproxy."""
    server = Server(*([Asked()] for _ in range(3 * MOST_AT_ONCE)))
    await server.server_event(events.Start())
    assert server.said.count("hook") <= MOST_AT_ONCE + 1
    await until(lambda: server.said.count("hook") == 3 * MOST_AT_ONCE)


async def test_a_layer_that_breaks_loses_neither_data_nor_hooks() -> None:
    """What it said before is done."""

    class Broken(Server):
        def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
            """Break once."""
            yield from super().handle_event(event)
            if isinstance(event, events.Start):
                raise ZeroDivisionError("sabotage")

    server = Broken()
    server._script = [[Asked(), server.send(b"a")]]
    with pytest.raises(ZeroDivisionError):
        await server.server_event(events.Start())
    await until(lambda: len(server.said) == 4)
    assert server.said == ["Start", b"a", "hook", "HookCompleted"]


async def test_a_log_line_does_not_quote_a_peer() -> None:
    """It ends where it would begin to."""
    server = Server([commands.Log("Unexpected data from server: b'secret'")])
    (line,) = server.turn.handle_event(events.Start())
    assert isinstance(line, commands.Log)
    assert line.message == "Unexpected data from server"


def test_a_connection_that_is_over_is_forgotten() -> None:
    """With all that handled it: one that stays would be there until the front door ends."""
    server = Server()
    client = server.client
    assert turn_of(client) is server.turn
    del server
    gc.collect()
    assert turn_of(client) is None
