"""Exports over syslog: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425)."""

import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Literal

from interlock.ledger.export.destination import ExportError, Mark
from interlock.ledger.export.format import Gravity, Message, moment

TIME_LIMIT_S = 15.0
# Facility 13, log audit (RFC 5424, 6.2.1).
_FACILITY = 13
_SEVERITY = {
    Gravity.INFORMATION: 6,
    Gravity.NOTICE: 5,
    Gravity.WARNING: 4,
    Gravity.ERROR: 3,
    Gravity.ALERT: 1,
}
# Receivers have to take 2048 octets (RFC 5426, 3.2); a datagram cannot hold more than this.
_LARGEST_DATAGRAM = 65_000

type Transport = Literal["udp", "tcp", "tls"]


class Syslog:
    """One connection a batch. Over TCP and TLS a batch has arrived when the receiver, told that
    nothing follows, has read to the end and closes; a datagram may get lost and nobody is told.
    """

    def __init__(self, transport: Transport, host: str, port: int, trust: ssl.SSLContext) -> None:
        self._transport = transport
        self._host, self._port = host, port
        self._trust = trust
        self._hostname = re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"

    def begin(self, mark: Mark) -> Mark:
        """There is nothing to go on with."""
        return mark

    def send(self, messages: Sequence[Message]) -> Mark:
        """Send a batch."""
        frames = [frame(message, self._hostname) for message in messages]
        try:
            self._send_datagrams(frames) if self._transport == "udp" else self._send_stream(frames)
        except OSError as e:
            raise ExportError(f"{self}: {e.strerror or e}", passing=True) from None
        return {}

    def close(self) -> None:
        """Nothing is open between two batches."""

    def __str__(self) -> str:
        return f"syslog+{self._transport}://{self._host}:{self._port}"

    def _send_datagrams(self, frames: Sequence[bytes]) -> None:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as out:
            for each in frames:
                out.sendto(each[:_LARGEST_DATAGRAM], address)

    def _send_stream(self, frames: Sequence[bytes]) -> None:
        data = b"".join(b"%d %s" % (len(each), each) for each in frames)
        with contextlib.ExitStack() as stack:
            plain_socket = socket.create_connection((self._host, self._port), TIME_LIMIT_S)
            out = stack.enter_context(plain_socket)
            if self._transport == "tls":
                out = self._trust.wrap_socket(plain_socket, server_hostname=self._host)
                stack.enter_context(out)
            out.sendall(data)
            _finish(out)


def frame(message: Message, hostname: str) -> bytes:
    """One message with its header, without the framing of a transport (RFC 5424, 6)."""
    priority = _FACILITY * 8 + _SEVERITY[message.gravity]
    head = f"<{priority}>1 {moment(message.ts)} {hostname} interlock - {message.kind} -"
    return f"{head} {message.text}".encode()


def _finish(out: socket.socket) -> None:
    """Say that nothing follows, and wait until the receiver has read that far; raises OSError."""
    if isinstance(out, ssl.SSLSocket):
        # Some receivers close the connection without a last word of TLS: they have read it too.
        with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            out.unwrap()
        return
    out.shutdown(socket.SHUT_WR)
    while out.recv(4096):
        pass
