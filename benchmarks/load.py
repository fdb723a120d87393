"""Sends one request over and over on a few connections, as cheaply as Python can.

Raw sockets and one selector loop: what the client takes is not there for the proxy to use, since
they share the cores.
"""

import base64
import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

HEAD_END = b"\r\n\r\n"
TIMEOUT_S = 60.0
READ = 65536


@dataclass(frozen=True, slots=True)
class Target:
    """Where a load goes: through a proxy by CONNECT, or straight when `proxy` is 0.

    `host` is what is asked for, `port` where; `ca` is the file to trust; `credentials` are
    `name:key` for the proxy; `crowd` are those of further connections, taken in turn.
    """

    host: str
    port: int
    ca: str
    request: bytes
    proxy: int = 0
    credentials: str = ""
    crowd: tuple[str, ...] = ()

    def of(self, number: int) -> Self:
        """The same for one of several connections."""
        if not self.crowd:
            return self
        return replace(self, credentials=self.crowd[number % len(self.crowd)])


@dataclass(slots=True)
class Measured:
    """What one round gave: seconds, calls, the latency of each in seconds, our own CPU time."""

    seconds: float = 0.0
    calls: int = 0
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)


def post(host: str, path: str, body: bytes, **headers: str) -> bytes:
    """A whole POST as bytes; of JSON, unless it says otherwise."""
    said = {"Content_Type": "application/json"} | headers
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in said.items()]
    lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


def keep_alive(target: Target, clients: int, seconds: float) -> Measured:
    """Run `clients` connections side by side, each with one call at a time."""
    trust = ssl.create_default_context(cafile=target.ca)
    connections = [
        _Connection(connect(target.of(number), trust), target.request) for number in range(clients)
    ]
    measured = Measured()
    try:
        _run(connections, seconds, measured)
    finally:
        for one in connections:
            one.sock.close()
    return measured


def anew(target: Target, clients: int, seconds: float) -> Measured:
    """Open a connection for every call, one after the other; `clients` is not used."""
    trust = ssl.create_default_context(cafile=target.ca)
    measured = Measured()
    began, cpu = time.perf_counter(), time.process_time()
    while (at := time.perf_counter()) - began < seconds:
        with contextlib.closing(connect(target, trust)) as sock:
            exchange(sock, target.request)
        measured.latencies.append(time.perf_counter() - at)
        measured.calls += 1
    measured.seconds, measured.cpu = time.perf_counter() - began, time.process_time() - cpu
    return measured


def connect(target: Target, trust: ssl.SSLContext) -> ssl.SSLSocket:
    """Open a connection up to the end of its TLS handshake; raises OSError when refused."""
    sock = socket.create_connection(("127.0.0.1", target.proxy or target.port), TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if target.proxy:
        there = f"{target.host}:{target.port}"
        proof = base64.b64encode(target.credentials.encode()).decode()
        line = f"Proxy-Authorization: Basic {proof}\r\n" if target.credentials else ""
        sock.sendall(f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n{line}\r\n".encode())
        said = sock.recv(READ)
        if b" 200 " not in said.partition(b"\r\n")[0]:
            raise OSError(f"CONNECT was answered with {said[:200]!r}")
    return trust.wrap_socket(sock, server_hostname=target.host)


def in_turn(target: Target, times: int, every: float = 0.0) -> Iterator[float]:
    """Call so often on one connection, one call after the other; yield the seconds of each.

    `every` is the time from the begin of a call to that of the next, at least.
    """
    trust = ssl.create_default_context(cafile=target.ca)
    with contextlib.closing(connect(target, trust)) as sock:
        for _ in range(times):
            at = time.perf_counter()
            exchange(sock, target.request)
            took = time.perf_counter() - at
            yield took
            time.sleep(max(0.0, every - took))


def exchange(sock: ssl.SSLSocket, request: bytes) -> int:
    """One call; answers how many bytes came back. Raises OSError for any status but 200."""
    sock.sendall(request)
    reading, taken = _Connection(sock, b""), 0
    while True:
        data = sock.recv(READ)
        taken += len(data)
        if reading.take(data):
            return taken


def so_many(times: int) -> Callable[[Target, int, float], Measured]:
    """A way that makes this many calls, one after the other; how long it takes does not matter."""

    def way(target: Target, _clients: int, _seconds: float) -> Measured:
        began, cpu = time.perf_counter(), time.process_time()
        latencies = list(in_turn(target, times))
        took = time.perf_counter() - began
        return Measured(took, times, time.process_time() - cpu, latencies)

    return way


class _Connection:
    def __init__(self, sock: ssl.SSLSocket, request: bytes) -> None:
        self.sock = sock
        self.request = request
        self.sent_at = 0.0
        self._buffer = b""
        self._missing = -1

    def send(self) -> None:
        """Begin a call."""
        self.sent_at = time.perf_counter()
        self._buffer, self._missing = b"", -1
        self.sock.setblocking(True)
        self.sock.sendall(self.request)
        self.sock.setblocking(False)

    def take(self, data: bytes) -> bool:
        """Read on; True when the answer is complete. Raises OSError for any but 200."""
        if not data:
            raise OSError("the connection was closed")
        if self._missing >= 0:
            self._missing -= len(data)
            return self._missing <= 0
        self._buffer += data
        head, end, rest = self._buffer.partition(HEAD_END)
        if not end:
            return False
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise OSError(f"an answer was {self._buffer[:900]!r}")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return rest.endswith(b"0\r\n\r\n")
        length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
        self._missing = int(length) - len(rest)
        return self._missing <= 0


def _run(connections: list[_Connection], seconds: float, measured: Measured) -> None:
    loop = selectors.DefaultSelector()
    for one in connections:
        loop.register(one.sock, selectors.EVENT_READ, one)
        one.send()
    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds
    while (now := time.perf_counter()) < until:
        for key, _ in loop.select(until - now):
            one = key.data
            while True:
                try:
                    complete = one.take(one.sock.recv(READ))
                except ssl.SSLWantReadError:
                    break
                if complete:
                    measured.latencies.append(time.perf_counter() - one.sent_at)
                    measured.calls += 1
                    one.send()
                    break
    measured.seconds, measured.cpu = time.perf_counter() - began, time.process_time() - cpu
    loop.close()
