"""Answers questions of other processes, once it is proven who asks."""

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.errors import BrokerError, KeyFileError
from broker.remote.address import Address, server_context
from broker.remote.client import LONGEST_LINE

log = logging.getLogger(__name__)

IDLE_S = 300.0
MOST_LINES = 256
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED

# Called with a question and who asks; raises BrokerError for a refusal.
type Answer = Callable[[Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def serve(
    address: Address, answer: Answer, users: Collection[int] = ()
) -> AsyncIterator[int]:
    """Listen while the context lasts; yields the port, 0 for a socket.

    A socket is for this user and `users` (their ids), by the word of the kernel; TLS is for
    whoever has a certificate of our authority. Raises KeyFileError or OSError.
    """
    lines = _Lines(answer, {os.geteuid(), *users})
    if address.path:
        listening = _bound(address.path, shared=bool(set(users) - {os.geteuid()}))
        server = await asyncio.start_unix_server(lines.local, sock=listening, limit=LONGEST_LINE)
    else:
        context = server_context(address.tls) if address.tls else None
        if context is None:
            raise ValueError("a broker listens to other machines over TLS only")
        server = await asyncio.start_server(
            lines.distant, address.host, address.port, ssl=context, limit=LONGEST_LINE
        )
    port = 0 if address.path else server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield port
            server.close()
            lines.hang_up()
    finally:
        if address.path:
            address.path.unlink(missing_ok=True)


class _Lines:
    """The open lines of one server."""

    def __init__(self, answer: Answer, users: Collection[int]) -> None:
        self._answer = answer
        self._users = users
        self._open: set[asyncio.StreamWriter] = set()

    async def local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        pid, uid, _ = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid not in self._users:
            log.warning("user %s (process %s) is not let in", _user(uid), pid)
            writer.close()
            return
        await self._talk(reader, writer, f"user {_user(uid)}")

    async def distant(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
        names = [value for part in subject for name, value in part if name == "commonName"]
        host = writer.get_extra_info("peername")[0]
        await self._talk(reader, writer, f"{' '.join(names)} at {host}".strip())

    def hang_up(self) -> None:
        """Close every line."""
        for writer in self._open:
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> None:
        if len(self._open) >= MOST_LINES:
            writer.close()
            return
        self._open.add(writer)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readuntil(b"\n")
                said = await self._said(line, who)
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    async def _said(self, line: bytes, who: str) -> Mapping[str, Any]:
        """Answer one line; whatever breaks becomes a refusal that quotes nothing."""
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise TypeError("it is no object")
            return await self._answer(question, who)
        except BrokerError as e:
            return {"refused": getattr(e, "why", None) or str(e)}
        except (ValueError, TypeError, KeyError, RecursionError) as e:
            return {"refused": f"the question cannot be read: {type(e).__name__}"}
        except Exception:
            log.exception("a question could not be answered")
            return {"refused": "the broker broke; its log says how"}


def _bound(path: Path, shared: bool) -> socket.socket:
    """Bind a socket that only its owner can open; or anyone, where `users` are to be let in."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise KeyFileError(path, "cannot be served: this system does not say who connects")
    with socket.socket(socket.AF_UNIX) as trial:
        if path.exists() and trial.connect_ex(str(path)) == 0:
            raise KeyFileError(path, "is served by another broker already")
    if path.is_socket():
        path.unlink()
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o111 if shared else 0o177)
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise KeyFileError(path, f"cannot be served: {error}") from error
    finally:
        os.umask(before)
    return made


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
