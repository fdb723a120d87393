"""Tells operators how a front door is, on a port of its own."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

TEXT = "text/plain; charset=utf-8"

type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]


class Health(Protocol):
    """What a supervisor says of its workers: how many serve, of how many, and if it ends."""

    @property
    def ready(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def stopping(self) -> bool: ...


class Admin:
    """The pages, as an ASGI application; no page holds anything that an agent said."""

    def __init__(self, health: Health, folder: str) -> None:
        self._health = health
        self._folder = folder

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, kind, body = self._page(scope["method"], scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    def _page(self, method: str, path: str) -> tuple[int, str, bytes]:
        health = self._health
        if method not in ("GET", "HEAD"):
            return 405, TEXT, b"only GET\n"
        if path == "/healthz":
            return 200, TEXT, b"ok\n"
        if path == "/readyz":
            said = f"{health.ready} of {health.count} workers serve\n".encode()
            return (200 if health.ready and not health.stopping else 503), TEXT, said
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, self._metrics()
        return 404, TEXT, b"there are /healthz, /readyz and /metrics\n"

    def _metrics(self) -> bytes:
        """What all workers have counted, those that ended included."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=self._folder)
        return generate_latest(registry)


class AdminServer(uvicorn.Server):
    """Serves the pages inside a loop whose signals belong to somebody else."""

    def __init__(self, admin: Admin, port: int) -> None:
        app: Any = admin
        super().__init__(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=port,
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                limit_concurrency=64,
                timeout_graceful_shutdown=1,
            )
        )

    def capture_signals(self) -> Any:
        """Leave them alone."""
        return nullcontext()
