"""An HTTPS upstream that answers at once, in a process of its own."""

import asyncio
import multiprocessing
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar, Self, cast

from benchmarks.framed import Framed

HEAD_END = b"\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'
# Whoever asks has to have the key, put in on the way or sent from the first.
KEY = "sk-bench-0123456789abcdef"
PROOF = b"\r\nauthorization: bearer " + KEY.encode() + b"\r\n"
# A request with this in its body gets a stream that does not end, one with this header an answer
# of so many bytes.
HELD = b'"stream": true'
SIZED = b"x-answer-bytes:"
# So many events a second go to the streams that are held, to one after the other.
EVENTS_A_SECOND = 50


def answer(body: bytes, kind: str = "application/json") -> bytes:
    """A whole HTTP/1.1 answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CHAT_ANSWER = b'{"choices": [{"message": {"content": "hi"}}]}'.ljust(600)
ANSWERS = {
    b"/v1/chat/completions": answer(CHAT_ANSWER),
    b"/v1/files": answer(b'{"id": "file-1"}'),
    b"/v1/responses": answer(EVENT * 40 + b"data: [DONE]\n\n", "text/event-stream"),
}


def sized(length: int) -> bytes:
    """An answer of about so many bytes, as a model would give it."""
    begin, end = b'{"choices": [{"message": {"content": "', b'"}}]}'
    return answer(begin + b"word " * ((length - len(begin) - len(end)) // 5) + end)


HELD_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


UNPROVEN = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class _Answering(asyncio.Protocol):
    held: ClassVar[deque[asyncio.Transport]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer, self._missing = b"", -1

    def data_received(self, data: bytes) -> None:
        # Of a body that comes in many pieces, only the first is kept.
        if self._missing > 0:
            self._missing -= len(data)
        else:
            self._buffer += data
            head, end, rest = self._buffer.partition(HEAD_END)
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._missing = int(length or 0) - len(rest)
        if self._missing <= 0:
            self._answer(*self._buffer.split(HEAD_END, 1))
            self._buffer = b""

    def _answer(self, head: bytes, body: bytes) -> None:
        if PROOF not in head.lower() + b"\r\n":
            self._transport.write(UNPROVEN)
            return
        if HELD in body:
            self._transport.write(HELD_HEAD + CHUNK)
            self.held.append(self._transport)
            return
        _, asked, wanted = head.lower().partition(SIZED)
        if asked:
            self._transport.write(sized(int(wanted.partition(b"\r\n")[0])))
            return
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        known = ANSWERS.get(path)
        self._transport.write(known or answer(b"x" * int(path.rpartition(b"/")[2] or 0)))


async def _go_on() -> None:
    """Send an event to one held stream after the other."""
    while True:
        await asyncio.sleep(1 / EVENTS_A_SECOND)
        if _Answering.held:
            transport = _Answering.held.popleft()
            if not transport.is_closing():
                transport.write(CHUNK)
                _Answering.held.append(transport)


class Upstream:
    """The upstream, as long as its context is open.

    `port` speaks HTTP/1.1, where `/bytes/N` is answered with N bytes, and `framed_port` HTTP/2.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._files = (chain, key)
        self.port = self.framed_port = 0
        self.pid = 0

    def __enter__(self) -> Self:
        ours, theirs = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_run, args=(*self._files, theirs), daemon=True)
        self._process.start()
        # If it ends before it is ready, we hear of it.
        theirs.close()
        self.port, self.framed_port = ours.recv()
        self.pid = self._process.pid or 0
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


def _run(chain: Path, key: Path, ready: Connection) -> None:
    async def listen(speaking: Callable[[], asyncio.Protocol], protocol: str) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        context.set_alpn_protocols([protocol])
        loop = asyncio.get_running_loop()
        return await loop.create_server(speaking, "127.0.0.1", 0, ssl=context, backlog=4096)

    async def serve() -> None:
        plain = await listen(_Answering, "http/1.1")
        framed = await listen(partial(Framed, CHAT_ANSWER, f"Bearer {KEY}"), "h2")
        ready.send([each.sockets[0].getsockname()[1] for each in (plain, framed)])
        async with asyncio.TaskGroup() as tasks:
            for work in (_go_on(), plain.serve_forever(), framed.serve_forever()):
                tasks.create_task(work)

    asyncio.run(serve())
