"""How long a request may take to arrive: who sends nothing must not keep the others out."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the first byte that is due, or the connection itself, to the last byte of a body.
REQUEST_S = 10.0


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which a request has not come whole in `REQUEST_S`.

    Connections are counted against the most that are served at once, idle ones too: without an
    end, a few hundred of them would be the end of service.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when a request is whole; what comes next is a new one."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._stop()

    def _look(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop()
        elif self._due is None:
            # At once: over TLS a farewell would wait for the other side half a minute more.
            self._due = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop(self) -> None:
        if self._due:
            self._due.cancel()
            self._due = None
