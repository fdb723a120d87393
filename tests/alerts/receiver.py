"""A real receiver of webhooks on a socket, which can be told how to answer."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from interlock.demo.certificates import Certificates


class Receiver:
    """Keeps what was posted; answers with `statuses` in turn, the last one for ever.

    `hang_s` is how long it lets a sender wait for the answer.
    """

    def __init__(
        self,
        *statuses: int,
        hang_s: float = 0.0,
        port: int = 0,
        certificates: Certificates | None = None,
    ) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self._statuses = list(statuses) or [200]
        self._hang_s = hang_s
        self._port = port
        self._certificates = certificates

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.posts.append((self.headers["interlock-signature"], body))
                time.sleep(receiver._hang_s)
                status = receiver._statuses[0]
                if len(receiver._statuses) > 1:
                    receiver._statuses.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        if self._certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.chain, self._certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, *statuses: int) -> None:
        """Answer with these from now on."""
        self._statuses = list(statuses)

    @property
    def url(self) -> str:
        return f"{'https' if self._certificates else 'http'}://localhost:{self.port}/hook?k=hidden"

    @property
    def news(self) -> list[dict[str, Any]]:
        """What was posted, read."""
        return [json.loads(body) for _, body in self.posts]

    def wait_for(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Wait until so many different pieces of news have come; answer them without repeats."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = list({each["id"]: each for each in self.news}.values())
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"only {len(self.news)} of {count} came")
