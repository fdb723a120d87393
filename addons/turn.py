"""One turn of a connection: what an event sets off and need not wait for is done on the spot.

mitmproxy makes a task and another turn of the loop of every hook, though hardly any waits, and a
system call of every piece that it sends.
"""

import asyncio
import re
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any
from weakref import WeakValueDictionary

from mitmproxy.connection import Client, Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HttpLayer

from addons.established import beneath

# What is left to do of a hook.
type Rest = Coroutine[Any, Any, None]
# So many hooks in a row are called on the spot; then others have their turn.
MOST_AT_ONCE = 16
# So much is sent by itself.
LARGE_BYTES = 1 << 14
# Where mitmproxy's log lines begin to quote.
QUOTES = re.compile(r"[:'\"]")


class Turn:
    """Stands between the layers of a connection and mitmproxy's server, as the topmost layer.

    The server sees only the commands that it is needed for. What is sent over HTTP/1 goes out in
    one piece, before any of these, and hooks are called when the event is through, as it is with
    mitmproxy, but for those that a stream has called where it stands. Log lines end where they
    would begin to quote what a peer sent.
    """

    def __init__(self, handler: Any, layer: Any) -> None:
        self._handler = handler
        self._layer = layer
        self._pieces: dict[int, tuple[Connection, list[bytes]]] = {}
        self._due: deque[events.Event] = deque()
        self._left = 0
        self._on_the_spot = False
        self._begun: set[commands.StartHook] = set()
        self._waiting: set[asyncio.Task[None] | None] = set()
        _TURNS[handler.client.id] = self

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        """Handle an event, and the ends of the hooks that did not wait."""
        self._left = MOST_AT_ONCE
        self._due.append(event)
        while self._due:
            if not isinstance(self._layer, HttpLayer):  # which is never only passed through
                self._layer = beneath(self._layer)
            hooks: list[commands.StartHook] = []
            is_through = False
            try:
                for command in self._layer.handle_event(self._due.popleft()):
                    if isinstance(command, commands.SendData):
                        self._say(command.connection, command.data)
                    elif isinstance(command, commands.StartHook):
                        if command in self._begun:
                            self._begun.remove(command)
                        else:
                            hooks.append(command)
                    else:
                        if isinstance(command, commands.Log):
                            command.message = QUOTES.split(command.message, maxsplit=1)[0].rstrip()
                        self._send()
                        yield command
                is_through = True
            finally:
                if self._pieces:
                    self._send()
                for hook in hooks:
                    is_over = self._call(hook, eagerly=is_through and self._left > 0)
                    if is_over and hook.blocking:
                        self._due.append(events.HookCompleted(hook))

    def is_over(self, hook: commands.StartHook) -> bool:
        """Call a hook where its stream stands, and say whether it is over already.

        Then the stream goes on, and no layer need hear of it; any other is to be passed on to here.
        """
        if self._left <= 0:
            return False
        self._left -= 1
        rest = self._handler.begin(hook)
        if rest is None or self._is_done(hook, rest, eagerly=True):
            return True
        self._begun.add(hook)
        return False

    def _say(self, peer: Connection, data: bytes) -> None:
        """Keep what is said to a peer until it goes out.

        What is large is worth no copy; and an agent that gets an answer over HTTP/2 and a reset at
        once may look at the reset only.
        """
        is_large = len(data) > LARGE_BYTES
        if is_large:
            self._send()
        self._pieces.setdefault(id(peer), (peer, []))[1].append(data)
        if is_large or (peer.alpn == b"h2" and isinstance(peer, Client)):
            self._send()

    def _send(self) -> None:
        """Send what was said to each peer so far, in one piece."""
        for connection, pieces in self._pieces.values():
            transport = self._handler.transports.get(connection)
            writer = transport.writer if transport else None
            if writer and not writer.is_closing():
                writer.write(b"".join(pieces))
                unsent = getattr(writer, "unsent", None)  # as who is read from has it
                if unsent is None or unsent():
                    self._handler.is_behind = True
        self._pieces.clear()

    def _call(self, hook: commands.StartHook, *, eagerly: bool) -> bool:
        """Call a hook behind its event; True when it is over."""
        self._left -= 1
        rest = self._handler.begin(hook) if eagerly else self._handler.call(hook)
        return rest is None or self._is_done(hook, rest, eagerly=eagerly)

    def _is_done(self, hook: commands.StartHook, rest: Rest, *, eagerly: bool) -> bool:
        """Do the rest of a hook; where that has to wait, its end is an event of its own."""
        self._on_the_spot = eagerly
        try:
            loop = asyncio.get_running_loop()
            task = asyncio.Task(self._hook(hook, rest), loop=loop, eager_start=eagerly)
        finally:
            self._on_the_spot = False
        if task.done():
            task.result()
            return True
        self._waiting.add(task)
        self._handler.busy()
        return False

    async def _hook(self, hook: commands.StartHook, rest: Rest) -> None:
        try:
            await rest
            if hook.blocking and not self._on_the_spot:
                await self._handler.server_event(events.HookCompleted(hook))
        finally:
            if not self._on_the_spot:
                self._waiting.discard(asyncio.current_task())
                self._handler.idle()


# Of the connections that there are; who handles one holds its turns, and nobody else does.
_TURNS: WeakValueDictionary[str, Turn] = WeakValueDictionary()


def turn_of(client: Client) -> Turn | None:
    """The turns that a connection takes; None for one that mitmproxy handles by itself."""
    return _TURNS.get(client.id)
