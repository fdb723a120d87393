"""A server of somebody: it keeps every byte it gets and gives every credential back."""

import re
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from interlock.demo.certificates import Certificates

END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?im)^content-length: *(\d+) *\r?$")
CREDENTIAL = re.compile(rb"(?im)^authorization: *(.+?)\r?$")


class Listener:
    """Listens on one address of loopback, over TLS where it has certificates, until it is closed.

    `extra` are lines of every answer. A request is read as its Content-Length says: bytes that
    somebody smuggled behind a body are a head of their own in `heads`.
    """

    def __init__(
        self,
        certificates: Certificates | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        status: str = "200 OK",
        extra: str = "",
    ) -> None:
        self._context: ssl.SSLContext | None = None
        if certificates:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificates.chain, certificates.key)
        self._status, self._extra = status, extra
        self._socket = socket.create_server((address, port))
        self.port = int(self._socket.getsockname()[1])
        self.clear()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def clear(self) -> None:
        """Forget what came so far."""
        self.connections = 0
        self.received = b""
        self.heads: list[bytes] = []

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._wrapped(plain) as one:
            one.settimeout(60)
            rest = b""
            while chunk := one.recv(65536):
                self.received += chunk
                rest = self._answer(one, rest + chunk)

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        return self._context.wrap_socket(plain, server_side=True) if self._context else plain

    def _answer(self, one: socket.socket, read: bytes) -> bytes:
        """Answer every whole request; what is left belongs to the next."""
        while END in read:
            head, _, rest = read.partition(END)
            found = LENGTH.search(head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return read
            self.heads.append(head)
            read = rest[length:]
            given = CREDENTIAL.search(head)
            echo = given[1] if given else b"none"
            lines = f"HTTP/1.1 {self._status}\r\n{self._extra}Content-Length: {len(echo)}\r\n"
            one.sendall(lines.encode() + b"X-Echo: " + echo + END + echo)
        return read
