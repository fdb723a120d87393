"""A local TLS server that speaks the OpenAI and Anthropic APIs and records all that reaches it."""

import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Self

import uvicorn

from interlock.demo.answers import failure, leak, route
from interlock.demo.certificates import Certificates
from interlock.demo.exchange import Answer, Json, Received
from interlock.demo.ports import free_ports

__all__ = ["Received", "Upstream"]

type Receive = Callable[[], Awaitable[Json]]
type Send = Callable[[Json], Awaitable[None]]


async def _receive(scope: Json, receive: Receive) -> Received:
    """Read all of a request, or what came of it before the client went away."""
    body = bytearray()
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    version = scope["http_version"]
    return Received(scope["method"], path.decode("latin-1"), version, headers, bytes(body))


async def _send(answer: Answer, send: Send) -> None:
    headers = [(b"content-type", answer.content_type), (b"x-upstream", b"interlock-demo")]
    if isinstance(answer.body, bytes) and answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    headers.extend(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer.body, bytes):
        return await send({"type": "http.response.body", "body": answer.body})
    async for part in answer.body:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up on everyone: neither a stream nor an idle client holds the stop back."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class Upstream:
    """A provider on https://localhost:PORT while its context is open.

    `keys` names the key that each provider accepts under /v1; without one, any or none will do.
    A leaky upstream gives the credential back in a header of every answer.
    """

    def __init__(
        self, certificates: Certificates, *, keys: Mapping[str, str] = {}, leaky: bool = False
    ) -> None:
        self._certificates = certificates
        self._keys = keys
        self._leaky = leaky
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def received(self) -> list[Received]:
        """Return every request so far, oldest first."""
        with self._lock:
            return list(self._received)

    def clear(self) -> None:
        with self._lock:
            self._received.clear()

    async def app(self, scope: Json, receive: Receive, send: Send) -> None:
        """Serve one request of any ASGI server, over HTTP/1.1 or HTTP/2."""
        if scope["type"] != "http":
            return
        request = await _receive(scope, receive)
        with self._lock:
            self._received.append(request)
        answer = self._answer(request)
        if self._leaky:
            answer = replace(answer, headers=(*answer.headers, leak(request)))
        await _send(answer, send)

    def _answer(self, request: Received) -> Answer:
        if request.segments[0] == "v1" and not self._accepts(request):
            return failure(request, 401, "Incorrect API key provided")
        try:
            return route(request)
        except ValueError as error:
            return failure(request, 400, str(error))

    def _accepts(self, request: Received) -> bool:
        """Tell whether the right key came, once and alone.

        Which header carries it is the client's choice: the anthropic SDK 2.12 sends its API key
        as a bearer, curl as in Anthropic's documentation sends x-api-key.
        """
        key = self._keys.get(request.provider)
        if key is None:
            return True
        bearer, bare = request.values(b"authorization"), request.values(b"x-api-key")
        as_bearer = bearer == [f"Bearer {key}".encode()] and not bare
        return as_bearer or (bare == [key.encode()] and not bearer)

    def __enter__(self) -> Self:
        config = self._config()
        config.load()  # here rather than in the thread, so that a bad certificate raises
        listener = socket.create_server(("127.0.0.1", *free_ports(1)))
        # Head and body go out apart; without this the body would wait 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="upstream", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            interface="asgi3",
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=0,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=self._certificates.chain,
            ssl_keyfile=self._certificates.key,
        )
