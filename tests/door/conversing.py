"""Has one conversation through a front door and says everything that came of it."""

import base64
import re
import secrets
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from tests.door.conversations import KEY, REPLIES, Ask, Reply
from tests.door.wire import PATIENCE_S, Saying, Way, Wire
from tests.door.world import TRUSTED, World

SOON_S, STRAY_S = 0.01, 0.1
END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
OURS = re.compile(rb"dec_[0-9a-f]{32}")
# What a run is called, in its paths: always of the same size.
TAG = re.compile(rb"run-[0-9a-f]{12}")
LAST = b"GET /v1/models/{tag}/last HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {key}\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Requests, each answered with the next reply; `at_once`, or each when the one before was."""

    asks: tuple[Ask, ...]
    replies: tuple[Reply, ...] = REPLIES[:1]
    by_base_url: bool = False
    at_once: bool = False

    def __str__(self) -> str:
        said = " + ".join(map(str, self.asks)) + " -> " + " + ".join(map(str, self.replies))
        return said + ", by base URL" * self.by_base_url + ", at once" * self.at_once


@dataclass
class Outcome:
    """What came of one conversation, without what differs from run to run."""

    heard: list[tuple[bytes, tuple[bytes, ...], bytes]] = field(default_factory=list)
    ended: str = ""
    reached: list[bytes] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    """One conversation under way, as the upstream sees it."""

    conversation: Conversation
    saying: Saying
    tag: bytes = field(default_factory=lambda: b"run-" + secrets.token_hex(6).encode())
    # Of each connection, in the order in which the first request of each came.
    reached: list[bytearray] = field(default_factory=list)
    answered: int = 0
    quiet: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: list[threading.Thread] = field(default_factory=list)


class ScriptedUpstream:
    """Answers each request with the next reply of the run that its path names."""

    def __init__(self, certificates: Certificates) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.chain, certificates.key)
        self.runs: dict[bytes, Run] = {}

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", *free_ports(1)), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.at = f"localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            wire = Wire(plain, self._context, Saying(Way.WHOLE, Random(0)))
            wire.shake()
            self._converse(wire)

    def _converse(self, wire: Wire) -> None:
        buffer, run = b"", None
        while chunk := wire.hear():
            buffer += chunk
            if run is None and (found := TAG.search(buffer)):
                run = self.runs[found[0]]
                wire.saying = run.saying
                run.open.append(threading.current_thread())
                received = bytearray(buffer)
                run.reached.append(received)
            elif run:
                received += chunk
            while run and (size := size_of(buffer)):
                request, buffer = buffer[:size], buffer[size:]
                self._answer(wire, run, request)

    @staticmethod
    def _answer(wire: Wire, run: Run, request: bytes) -> None:
        if b"/last HTTP" in request.partition(b"\r\n")[0]:
            wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
            return
        replies = run.conversation.replies
        reply = replies[min(run.answered, len(replies) - 1)]
        run.answered += 1
        sent = reply.sent.replace(b"{key}", KEY)
        if request.startswith(b"HEAD "):
            sent = sent.partition(END)[0] + END
        with suppress(OSError):
            wire.say(sent)
            if reply.ends == "farewell":
                wire.end()
            elif reply.ends:
                wire.cut_off()
        run.quiet.release()


def size_of(buffer: bytes) -> int:
    """How long the request is that begins here; 0 while it is not whole."""
    head, end, body = buffer.partition(END)
    if not end:
        return 0
    if re.search(rb"(?im)^transfer-encoding:", head):
        at = 0 if body.startswith(b"0" + END) else body.find(b"\r\n0" + END) + 2
        return len(head + END) + at + 5 if at != 1 else 0
    size = len(head + END) + int(found[1] if (found := LENGTH.search(head)) else 0)
    return size if len(buffer) >= size else 0


class Stage:
    """Where conversations are had: one front door and one upstream."""

    def __init__(self, world: World, upstream: ScriptedUpstream, door: FrontDoor) -> None:
        self.world, self._upstream, self._ports = world, upstream, door.ports
        self._trust = ssl.create_default_context(cafile=door.ca)
        self._trust.check_hostname = False

    def have(self, conversation: Conversation, way: Way, seed: int) -> tuple[Run, Outcome]:
        """Have it in a way; what was recorded comes later."""
        run = Run(conversation, Saying(way, Random(seed)))
        self._upstream.runs[run.tag] = run
        outcome = Outcome()
        port = self._ports[1 if conversation.by_base_url else 0]
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain:
            saying = Saying(way, Random(seed + 1))
            if not conversation.by_base_url:
                self._connect(plain, saying)
            wire = Wire(plain, self._trust, saying, "localhost")
            wire.shake()
            self._speak(wire, run, outcome)
        for thread in run.open:
            thread.join(PATIENCE_S)
        outcome.reached = [self._told(bytes(received)) for received in run.reached]
        return run, outcome

    def _connect(self, plain: socket.socket, saying: Saying) -> None:
        proof = base64.b64encode(f"{TRUSTED}:{self.world.keys[TRUSTED]}".encode()).decode()
        to = self._upstream.at
        connect = (
            f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {proof}\r\n\r\n"
        )
        for pieces in saying.records(connect.encode()):
            for piece in pieces:
                plain.sendall(piece)
                time.sleep(0.0005)
        heard = b""
        while END not in heard:
            heard += plain.recv(1)

    def _speak(self, wire: Wire, run: Run, outcome: Outcome) -> None:
        asks, heard = run.conversation.asks, bytearray()
        with suppress(OSError):
            if run.conversation.at_once:
                wire.say(b"".join(self._filled(ask.sent, run) for ask in asks))
            for number, ask in enumerate(asks, 1):
                if not run.conversation.at_once:
                    wire.say(self._filled(ask.sent, run))
                if ask.open_:
                    wire.end()
                while len(final(answers(heard, asks))) < number and (chunk := wire.hear()):
                    heard += chunk
            self._let_it_finish(run)
            heard += wire.hear_now()
            if not wire.ended:
                wire.say(self._filled(LAST, run))
                while len(final(answers(heard, asks))) <= len(asks) and (chunk := wire.hear()):
                    heard += chunk
        outcome.ended = wire.ended or "goes on"
        wire.end()
        while chunk := wire.hear():
            heard += chunk
        for line, fields, body, _ in answers(heard, asks):
            outcome.heard.append((line, tuple(map(self._told, fields)), self._told(body)))

    @staticmethod
    def _let_it_finish(run: Run) -> None:
        for _ in range(run.answered):
            run.quiet.acquire(timeout=PATIENCE_S)
        time.sleep(STRAY_S if any(one.stray for one in run.conversation.replies) else SOON_S)

    def _filled(self, said: bytes, run: Run) -> bytes:
        key = self.world.keys[TRUSTED] if run.conversation.by_base_url else "x"
        places = {b"{tag}": run.tag, b"{at}": self._upstream.at.encode(), b"{key}": key.encode()}
        for place, value in places.items():
            said = said.replace(place, value)
        return said

    @staticmethod
    def _told(said: bytes) -> bytes:
        return OURS.sub(b"dec_", TAG.sub(b"{tag}", said))


type Heard = tuple[bytes, tuple[bytes, ...], bytes, bool]


def answers(heard: bytearray, asks: tuple[Ask, ...]) -> list[Heard]:
    """Line, fields, body and whether it is whole, of each answer; chunks are put together."""
    found: list[Heard] = []
    rest = bytes(heard)
    while rest:
        head, end, rest = rest.partition(END)
        line, *fields = head.split(b"\r\n")
        at = len(final(found))
        lower = head.lower()
        if not end:
            body, is_whole = b"", False
        elif (
            line[9:10] == b"1"
            or line[9:12] in (b"204", b"304")
            or (at < len(asks) and asks[at].head_only)
        ):
            body, is_whole = b"", True
        elif b"\r\ntransfer-encoding: chunked" in lower:
            body, is_whole, rest = dechunked(rest)
        elif size := LENGTH.search(head):
            body, is_whole = rest[: int(size[1])], len(rest) >= int(size[1])
            rest = rest[int(size[1]) :]
        else:
            body, is_whole, rest = rest, False, b""
        found.append((line, tuple(fields), body, is_whole))
    return found


def final(found: list[Heard]) -> list[Heard]:
    """Those that are whole, without the interim ones."""
    return [answer for answer in found if answer[3] and answer[0][9:10] != b"1"]


def dechunked(rest: bytes) -> tuple[bytes, bool, bytes]:
    """The body, whether it is whole, and what is behind it."""
    body = b""
    while True:
        line, end, behind = rest.partition(b"\r\n")
        if not end:
            return body, False, b""
        size = int(line, 16)
        body += behind[:size]
        if len(behind) < size + 2:
            return body, False, b""
        rest = behind[size + 2 :]
        if not size:
            return body, True, rest
