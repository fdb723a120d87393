"""A client that says at each layer what it wants: CONNECT target, SNI and Host may all differ."""

import base64
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from interlock.demo.ports import free_ports
from interlock.model import Authority, Binding, Mode
from tests.door.world import TRUSTED, World

# A busy machine may take a while until it begins to answer.
ANSWER_S = 20.0


def tunnelled(
    world: World,
    mode: Mode,
    target: str,
    *more: str,
    sni: str = "localhost",
    host: str = "",
    path: str = "/v1/models",
    agent: str = TRUSTED,
    method: str = "GET",
) -> bytes:
    """Send one request through CONNECT and answer every byte that came back until silence."""
    door = world.doors[mode]
    trust = ssl.create_default_context(cafile=door.ca)
    trust.check_hostname = False
    proof = base64.b64encode(f"{agent}:{world.keys[agent]}".encode()).decode() if agent else ""
    lines = [f"Proxy-Authorization: Basic {proof}"] if agent else []
    with socket.create_connection(("127.0.0.1", door.ports[0]), 10) as plain:
        connect = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *lines, "", ""]
        plain.sendall("\r\n".join(connect).encode())
        head = plain.recv(65536)
        if b" 200 " not in head.split(b"\r\n")[0]:
            return head
        with trust.wrap_socket(plain, server_hostname=sni) as secure:
            request = [f"{method} {path} HTTP/1.1", f"Host: {host or target}", *more]
            secure.sendall("\r\n".join([*request, "Connection: close", "", ""]).encode())
            return read_until_silence(secure)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except OSError:
        pass
    return received


def read_until_silence(connection: socket.socket, silence_s: float = 1.5) -> bytes:
    """Read until the other side closes, or has begun to speak and falls silent."""
    connection.settimeout(ANSWER_S)
    try:
        first = connection.recv(65536)
    except OSError:
        return b""
    connection.settimeout(silence_s)
    return first + (read_all(connection) if first else b"")


def read_until_closed(port: int, ca: Path, request: bytes, name: str) -> bytes:
    """Send bytes to a listener under a name, and answer all until it hangs up."""
    trust = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        trust.wrap_socket(plain, server_hostname=name) as secure,
    ):
        secure.sendall(request)
        return read_all(secure)


type Answer = bytes | Callable[[bytes], bytes]


class Scripted:
    """An upstream that answers every request head with given bytes, and keeps what it got.

    `{key}` in the answer stands for the credential that came in the Authorization header; an
    answer that depends on it in another way is a function of it.
    """

    def __init__(self, world: World, answer: Answer, *, tls: bool = True) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(world.certificates.chain, world.certificates.key)
        self._answer, self._tls = answer, tls
        self.heads: list[bytes] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", *free_ports(1)))
        self.port = self._listener.getsockname()[1]
        self.authority = f"localhost:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                with suppress(OSError), self._wrapped(plain) as one:
                    one.settimeout(5)
                    self._converse(one)

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        return self._context.wrap_socket(plain, server_side=True) if self._tls else plain

    def _converse(self, one: socket.socket) -> None:
        if not (head := self._head(one)):
            return
        self.heads.append(head)
        found = re.search(rb"(?i)authorization: Bearer (\S+)", head)
        key = found[1] if found else b"none"
        answer = self._answer
        one.sendall(answer.replace(b"{key}", key) if isinstance(answer, bytes) else answer(key))

    @staticmethod
    def _head(one: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received and (chunk := one.recv(65536)):
            received += chunk
        return received


@contextmanager
def bound(world: World, answer: Answer) -> Iterator[Scripted]:
    """A scripted upstream that the OpenAI key is bound to."""
    with Scripted(world, answer) as upstream:
        authority = Authority("localhost", upstream.port)
        world.also_bind(Binding("openai-api-key", authority, "bearer", service="openai"))
        yield upstream


def exchanged(port: int, ca: Path, request: bytes, *, wait: float = 1.5) -> bytes:
    """Send bytes to a base-URL listener and answer what came back until it falls silent."""
    trust = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        with suppress(OSError):  # it may hang up before it has read all
            secure.sendall(request)
        return read_until_silence(secure, wait)
