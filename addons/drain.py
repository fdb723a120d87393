"""Ends a front door without breaking off what is under way."""

import asyncio
import logging
from typing import Any

from mitmproxy import ctx, http

log = logging.getLogger(__name__)

POLL_S = 0.05


class Drain:
    """Stops listening, closes connections as they fall idle, and shuts the proxy down at last."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._task: asyncio.Task[None] | None = None
        self._calls: dict[str, str] = {}  # flow -> client connection

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A call begins."""
        self._calls[flow.id] = flow.client_conn.id

    def response(self, flow: http.HTTPFlow) -> None:
        """An answer is complete; that of an upgrade is only the beginning."""
        if flow.websocket is None:
            self._calls.pop(flow.id, None)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """A WebSocket is closed."""
        self._calls.pop(flow.id, None)

    def error(self, flow: http.HTTPFlow) -> None:
        """A call broke off."""
        self._calls.pop(flow.id, None)

    def begin(self) -> None:
        """Begin to drain; asked a second time, stop at once."""
        if self._task is not None:
            ctx.master.shutdown()
            return
        self._task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        proxy: Any = ctx.master.addons.get("proxyserver")
        await asyncio.gather(*(server.stop() for server in proxy.servers if server.is_running))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limit_s
        idle: set[str] = set()
        while proxy.connections and loop.time() < deadline:
            # Idle twice in a row: a call's last bytes leave a moment after its last hook.
            was, idle = idle, proxy.connections.keys() - set(self._calls.values())
            for client_id in was & idle:
                handler = proxy.connections[client_id]
                if handler.client in handler.transports:
                    handler.close_connection(handler.client)
            await asyncio.sleep(POLL_S)
        if proxy.connections:
            log.warning(
                "interlock: %s connections are cut, their time is over", len(proxy.connections)
            )
        ctx.master.shutdown()
