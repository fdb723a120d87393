"""A corporate proxy as companies run them: CONNECT only, and it writes down all that it sees."""

import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from interlock.demo.certificates import Certificates


class ParentProxy:
    """Leads every CONNECT to `leads_to`, or to where it asks; `refusal` is said instead.

    `asked` are the heads that came, `seen` everything that passed, in both directions.
    """

    def __init__(self, certificates: Certificates | None = None) -> None:
        """With certificates it speaks TLS itself."""
        self._context: ssl.SSLContext | None = None
        if certificates:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificates.chain, certificates.key)
        self.clear()

    def clear(self) -> None:
        """Forget what was seen, and behave."""
        self.asked: list[bytes] = []
        self.seen = b""
        self.refusal = b""
        self.leads_to: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
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
                inner, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(inner,), daemon=True).start()

    def _tunnel(self, plain: socket.socket) -> None:
        with plain, suppress(OSError), self._wrapped(plain) as inner:
            head = b""
            while b"\r\n\r\n" not in head and (data := inner.recv(65536)):
                head += data
            self.asked.append(head)
            self.seen += head
            if self.refusal:
                inner.sendall(self.refusal)
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection(self.leads_to or (host, int(port)), 10) as outer:
                inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(outer, inner), daemon=True)
                back.start()
                self._copy(inner, outer)
                back.join()

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        return self._context.wrap_socket(plain, server_side=True) if self._context else plain

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.seen += data
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
