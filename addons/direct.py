"""Has what a peer sends worked through as it comes, where nothing is waiting before it."""

from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy.connection import Connection
from mitmproxy.proxy import events

from addons.server import Handler


class Portions(Protocol):
    """How much of what a peer sends is taken at once."""

    def takes(self, size: int) -> bool:
        """Say whether so much may be worked through now."""

    def worked_through(self) -> None:
        """What was taken last has been worked through."""


class Direct:
    """Leaves out the task that reads a connection, while it waits for something to read.

    asyncio would keep what came, wake that task, and have it read in the next turn of the loop.
    The task still reads whatever comes while another event of its connection is waited for, while
    somebody does not read what is written to him, and what is too much for one turn.
    """

    def __init__(
        self,
        handler: Handler,
        connection: Connection,
        portion: Portions,
        is_held_up: Callable[[], bool],
    ) -> None:
        """`is_held_up` says whether what it would be answered with is not read as it is."""
        self._handler = handler
        self._connection = connection
        self._portion = portion
        self._is_held_up = is_held_up
        self._lock: Any = handler._server_event_lock
        io: Any = handler.transports[connection]
        self._reader, self._protocol = io.reader, io.writer.transport.get_protocol()
        self._keep = self._protocol.data_received
        self._protocol.data_received = self.feed

    def feed(self, data: bytes) -> None:
        """`StreamReaderProtocol.data_received`."""
        if self._is_free() and self._portion.takes(len(data)):
            self._handler.work_through(events.DataReceived(self._connection, data))
            self._portion.worked_through()
        else:
            self._keep(data)

    def end(self) -> None:
        """Let what still comes be kept."""
        self._protocol.data_received = self._keep

    def _is_free(self) -> bool:
        """Say whether the task is waiting for data, nobody for the connection, and all is read."""
        waiter, lock = self._reader._waiter, self._lock
        if waiter is None or waiter.done() or self._reader._buffer:
            return False
        return not (lock._locked or lock._waiters or self._is_held_up())
