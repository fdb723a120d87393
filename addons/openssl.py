"""What goes into OpenSSL's buffers and comes out, without all that pyOpenSSL does at each call.

That is a buffer of its own to read into, and a question whether there was an error when none was.
"""

import threading
from typing import Any

from OpenSSL import SSL

# The most that one record holds (RFC 8446, 5.1).
RECORD_BYTES = 1 << 14

# Room for a record, and for almost all that is sent at once.
PIECE_BYTES = 1 << 17

_openssl: Any = SSL
_lib, _ffi = _openssl._lib, _openssl._ffi


class _Room(threading.local):
    """Where a thread has OpenSSL put what it takes out; what it says to one is nobody else's."""

    def __init__(self) -> None:
        self.start = _ffi.new("char **")
        self.piece = _ffi.new("char[]", PIECE_BYTES)


_room = _Room()


def take(tls: Any, data: bytes) -> tuple[bytes, SSL.Error | None, bytes]:
    """Put in what the peer sent, and take out all that it said with it.

    Beside it are told whatever keeps OpenSSL from finding more, but for the end of what came, and
    what it has to send now.
    """
    if _lib.BIO_write(tls._into_ssl, data, len(data)) != len(data):
        raise MemoryError("OpenSSL has no room")
    start, piece = _room.start, _room.piece
    said: list[bytes] = []
    end: SSL.Error | None = None
    while _lib.BIO_get_mem_data(tls._into_ssl, start) or _lib.SSL_pending(tls._ssl):
        size = _lib.SSL_read(tls._ssl, piece, RECORD_BYTES)
        if size <= 0:
            end = _why_none(tls, size)
            break
        said.append(_ffi.unpack(piece, size))
    ready = send(tls) if _lib.BIO_get_mem_data(tls._from_ssl, start) else b""
    return b"".join(said), end, ready


def _why_none(tls: Any, size: int) -> SSL.Error | None:
    """What keeps OpenSSL from finding more; None where nothing is missing but what follows."""
    try:
        tls._raise_ssl_error(tls._ssl, size)
    except SSL.WantReadError:
        return None
    except SSL.Error as e:
        return e
    return None


def write(tls: Any, data: bytes | memoryview) -> None:
    """Put in what the peer is to hear; raises SSL.Error."""
    size = 0
    if isinstance(data, bytes) and 0 < len(data) <= RECORD_BYTES:
        size = _lib.SSL_write(tls._ssl, data, len(data))
        if size <= 0:
            tls._raise_ssl_error(tls._ssl, size)
    if size < len(data):  # the peer may have asked for smaller records
        tls.sendall(memoryview(data)[size:])


def send(tls: Any) -> bytes:
    """Take out all that is to be sent."""
    size = _lib.BIO_get_mem_data(tls._from_ssl, _room.start)
    if not size:
        return b""
    if size > PIECE_BYTES:
        return bytes(tls.bio_read(size))
    piece = _room.piece
    size = _lib.BIO_read(tls._from_ssl, piece, size)
    said: bytes = _ffi.unpack(piece, size)
    return said
