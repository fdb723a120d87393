"""Asks a broker in another process; an answer comes in bounded time, or a reason why not."""

import asyncio
import json
import ssl
from typing import Any

from broker.errors import StoreRefusalError
from broker.remote.address import Address, client_context
from broker.remote.peer import require_owner

PATIENCE_S = 5.0
LONGEST_LINE = 16 << 20
MOST_IDLE = 8

type Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Keeps a few lines open between questions; used from one event loop."""

    def __init__(self, address: Address, patience: float = PATIENCE_S) -> None:
        """Raises KeyFileError when the files for TLS cannot be used."""
        self.address = address
        self._patience = patience
        self._context = client_context(address.tls) if address.tls else None
        self._idle: list[Line] = []

    async def ask(self, what: str, **said: Any) -> dict[str, Any]:
        """Return what the broker says to one question; raises StoreRefusalError with its reason."""
        question = json.dumps({"ask": what, **said}).encode() + b"\n"
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._exchange(question)
        except TimeoutError:
            why = f"the broker does not answer within {self._patience:g} s"
            raise StoreRefusalError(why) from None
        except (OSError, ssl.SSLError, EOFError, ValueError) as e:
            why = f"the broker at {self.address} cannot be reached: {_words(e)}"
            raise StoreRefusalError(why) from None
        if "refused" in answer:
            raise StoreRefusalError(str(answer["refused"]))
        return answer

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchange(self, question: bytes) -> dict[str, Any]:
        """Ask on a line that is open, or on a new one where that has gone stale.

        To ask twice does no harm: a broker that had heard the first does not release again.
        """
        while self._idle:
            line = self._idle.pop()
            try:
                return await self._on(line, question)
            except (OSError, EOFError):
                continue
        return await self._on(await self._open(), question)

    async def _on(self, line: Line, question: bytes) -> dict[str, Any]:
        reader, writer = line
        try:
            writer.write(question)
            await writer.drain()
            heard = await reader.readuntil(b"\n")
        except BaseException:
            writer.close()  # what comes later on this line answers another question
            raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(line)
        else:
            writer.close()
        answer = json.loads(heard)
        if not isinstance(answer, dict):
            raise ValueError("its answer is not an object")
        return answer

    async def _open(self) -> Line:
        """A new line, to one who may serve: its certificate names the host that is dialled."""
        at = self.address
        if at.path:
            line = await asyncio.open_unix_connection(at.path, limit=LONGEST_LINE)
            try:
                require_owner(line[1].get_extra_info("socket"), at.path)
            except OSError:
                line[1].close()
                raise
            return line
        return await asyncio.open_connection(
            at.host, at.port, ssl=self._context, limit=LONGEST_LINE
        )


def _words(error: Exception) -> str:
    if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
        return "it hung up; its log says who is not let in"
    return " ".join(str(error).split())[:200] or type(error).__name__
