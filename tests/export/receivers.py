"""Receivers on real sockets: an OpenTelemetry collector, and syslog over TCP, TLS and UDP."""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)


class Collector:
    """Takes OTLP logs over HTTP, decodes them with the official types, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.rejects = 0
        self.before_answering: Callable[[int], object] = lambda _: None
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """`POST /v1/logs`, as the OTLP specification has it."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector.take(self.path, dict(self.headers), body)
                answer = collector.answer()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/logs"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Decode a request; 400 for what is no OTLP."""
        self.headers.append(headers)
        if self.status != 200:
            return self.status
        if path.partition("?")[0] != "/v1/logs" or headers["Content-Type"] != "application/json":
            return 404
        self.requests.append(json_format.Parse(body, ExportLogsServiceRequest()))
        self.before_answering(len(self.requests))
        return 200

    def answer(self) -> bytes:
        """Say what was taken."""
        said = ExportLogsServiceResponse()
        said.partial_success.rejected_log_records = self.rejects
        return json_format.MessageToJson(said).encode()

    def ids(self) -> list[str]:
        """The ids of the events that arrived, in order."""
        return [
            pair.value.string_value
            for request in self.requests
            for resource in request.resource_logs
            for record in resource.scope_logs[0].log_records
            for pair in record.attributes
            if pair.key == "interlock.id"
        ]


@dataclass
class SyslogServer:
    """Reads octet-counted messages (RFC 6587) until the sender stops, then closes."""

    tls: ssl.SSLContext | None = None
    messages: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        try:
            with self._shaken(connection) as stream:
                data = b"".join(iter(lambda: stream.recv(65536), b""))
                self.messages += unframed(data)
        except ssl.SSLError:
            connection.close()

    def _shaken(self, connection: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection


def unframed(data: bytes) -> list[bytes]:
    """Take apart octet-counted messages; raises ValueError for anything else."""
    found = []
    while data:
        size, _, rest = data.partition(b" ")
        message, data = rest[: int(size)], rest[int(size) :]
        if len(message) != int(size):
            raise ValueError("a message is shorter than it says")
        found.append(message)
    return found
