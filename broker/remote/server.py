"""Answers questions of other processes, once it is proven who asks."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.errors import BrokerError, KeyFileError
from broker.remote.address import Address, server_context
from broker.remote.peer import group_name, name_on, user_name, user_of

log = logging.getLogger(__name__)

IDLE_S = 300.0
MOST_LINES = 256
# Who has proven nothing yet has so long to do so, and nobody has more to say than so many bytes.
HANDSHAKE_S = 5.0
LONGEST_QUESTION = 1 << 20

# Called with a question and who asks; raises BrokerError for a refusal.
type Answer = Callable[[Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def serve(
    address: Address,
    answer: Answer,
    users: Collection[int] = (),
    group: int | None = None,
    clients: Collection[str] = (),
) -> AsyncIterator[int]:
    """Listen while the context lasts; yields the port, 0 for a socket.

    A socket is for this user, and for those of `users` (their ids) who are in `group`, by the
    word of the kernel; TLS is for whoever has a certificate of our authority on which one of the
    names `clients` stands. Raises KeyFileError or OSError.
    """
    lines = _Lines(answer, {os.geteuid(), *users}, frozenset(clients))
    if address.path:
        listening = _bound(address.path, group)
        server = await asyncio.start_unix_server(
            lines.local, sock=listening, limit=LONGEST_QUESTION
        )
    else:
        context = server_context(address.tls) if address.tls else None
        if context is None:
            raise ValueError("a broker listens to other machines over TLS only")
        server = await asyncio.start_server(
            lines.distant,
            address.host,
            address.port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S,
            limit=LONGEST_QUESTION,
        )
    port = 0 if address.path else server.sockets[0].getsockname()[1]
    try:
        async with server:
            try:
                yield port
            finally:
                server.close()
                lines.hang_up()  # or the end would wait for whoever does not
    finally:
        if address.path:
            address.path.unlink(missing_ok=True)


class _Lines:
    """The open lines of one server."""

    def __init__(self, answer: Answer, users: Collection[int], clients: Collection[str]) -> None:
        self._answer = answer
        self._users = users
        self._clients = clients
        self._open: set[asyncio.StreamWriter] = set()

    async def local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid, pid = user_of(writer.get_extra_info("socket"))
        if uid not in self._users:
            log.warning("user %s (process %s) is not let in", user_name(uid), pid)
            writer.close()
            return
        await self._talk(reader, writer, f"user {user_name(uid)}")

    async def distant(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert") or {}
        host = writer.get_extra_info("peername")[0]
        name = name_on(certificate, self._clients)
        if not name:
            log.warning("%s is not let in: no name that is known is on its certificate", host)
            writer.close()
            return
        await self._talk(reader, writer, f"{name} at {host}")

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
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as e:
            return {"refused": f"the question cannot be read: {type(e).__name__}"}
        except Exception:
            log.exception("a question could not be answered")
            return {"refused": "the broker broke; its log says how"}


def _bound(path: Path, group: int | None) -> socket.socket:
    """Bind a socket that only its owner can open, and the members of a group where one is named."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise KeyFileError(path, "cannot be served: this system does not say who connects")
    with socket.socket(socket.AF_UNIX) as trial:
        if path.exists() and trial.connect_ex(str(path)) == 0:
            raise KeyFileError(path, "is served by another broker already")
    if path.is_socket():
        path.unlink()
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
        if group is not None:
            _share(path, group)
    except OSError as error:
        made.close()
        raise KeyFileError(path, f"cannot be served: {error}") from error
    finally:
        os.umask(before)
    return made


def _share(path: Path, group: int) -> None:
    """Let the members of a group open a socket; raises OSError."""
    try:
        os.chown(path, -1, group)
    except PermissionError:
        path.unlink()
        who, name = user_name(os.geteuid()), group_name(group)
        why = f"{who} is not in the group {name}: usermod -aG {name} {who}, and start it anew"
        raise PermissionError(why) from None
    path.chmod(0o660)
