"""An HTTPS upstream that answers at once, in a process of its own."""

import asyncio
import multiprocessing
import ssl
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

HEAD_END = b"\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'


def answer(body: bytes, kind: str = "application/json") -> bytes:
    """A whole HTTP/1.1 answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


ANSWERS = {
    b"/v1/chat/completions": answer(b'{"choices": [{"message": {"content": "hi"}}]}'.ljust(600)),
    b"/v1/responses": answer(EVENT * 40 + b"data: [DONE]\n\n", "text/event-stream"),
}


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(HEAD_END)
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(rest) < int(length or 0):
            return
        self._buffer = b""
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        known = ANSWERS.get(path)
        self._transport.write(known or answer(b"x" * int(path.rpartition(b"/")[2] or 0)))


class Upstream:
    """The upstream, as long as its context is open; `/bytes/N` answers with N bytes."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._files = (chain, key)
        self.port = 0
        self.pid = 0

    def __enter__(self) -> Self:
        ours, theirs = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_run, args=(*self._files, theirs), daemon=True)
        self._process.start()
        self.port = ours.recv()
        self.pid = self._process.pid or 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()


def _run(chain: Path, key: Path, ready: Connection) -> None:
    async def serve() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Answering, "127.0.0.1", 0, ssl=context, backlog=4096)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
