"""What reaches a provider and what goes back: the values that the local upstream handles."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

type Json = Mapping[str, Any]
type Header = tuple[bytes, bytes]

PAUSE = 0.002  # seconds between two parts of an answer, so that each travels on its own


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived; `path` includes the query, header names are lower-case (ASGI)."""

    method: str
    path: str
    http_version: str
    headers: list[Header]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return the value of every header called `name` (lower-case), duplicates included."""
        return [value for key, value in self.headers if key == name]

    @property
    def segments(self) -> list[str]:
        return urlsplit(self.path).path.strip("/").split("/")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query))

    @property
    def provider(self) -> str:
        marked = self.values(b"x-api-key") or self.values(b"anthropic-version")
        return "anthropic" if marked or self.segments[:2] == ["v1", "messages"] else "openai"

    @property
    def credential(self) -> bytes:
        return b", ".join(self.values(b"authorization") + self.values(b"x-api-key"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a body of bytes is sent whole, any other part by part as it comes."""

    body: bytes | AsyncIterator[bytes] = b""
    content_type: bytes = b"application/json"
    status: int = 200
    headers: tuple[Header, ...] = ()

    @classmethod
    def json(cls, value: Json, *headers: Header, status: int = 200) -> Self:
        return cls(json.dumps(value).encode(), status=status, headers=headers)

    @classmethod
    def parts(cls, parts: Iterable[bytes], content_type: bytes = b"text/event-stream") -> Self:
        return cls(_paced(parts), content_type)


def event(data: Json, name: str = "") -> bytes:
    """Write one server-sent event."""
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises ValueError when it is anything else."""
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("the body must be a JSON object")
    return payload


async def _paced(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(PAUSE)
