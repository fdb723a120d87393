"""A local TLS server that speaks the OpenAI and Anthropic APIs and records all that reaches it."""

import asyncio
import base64
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import uvicorn

from interlock.demo.certificates import Certificates

type Json = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Json]]
type Send = Callable[[Json], Awaitable[None]]
type Header = tuple[bytes, bytes]

PAUSE = 0.002  # seconds between two parts of an answer, so that each travels on its own
CREATED = 1_700_000_000  # every object's birthday, in Unix seconds: answers are deterministic
# https://platform.openai.com/docs/guides/error-codes
OPENAI_CODES = {401: "invalid_api_key", 404: "unknown_url", 429: "rate_limit_exceeded"}
# https://docs.anthropic.com/en/api/errors
ANTHROPIC_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
ANTHROPIC_TYPES |= {413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """What both chat APIs ask: the model, the user's last words and how to answer."""

    model: str
    said: str
    stream: bool
    include_usage: bool

    @property
    def words(self) -> list[str]:
        return ["You ", "said ", f"{len(self.said)} ", "characters."]


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises ValueError when it is anything else."""
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("the body must be a JSON object")
    return payload


def parse_prompt(body: bytes) -> Prompt:
    """Read a chat request of either provider; raises ValueError when it is not one."""
    payload = parse_object(body)
    match payload:
        case {"model": str(model), "messages": [*messages]}:
            turns = [turn for turn in messages if isinstance(turn, dict)]
            said = [_text(turn.get("content")) for turn in turns if turn.get("role") == "user"]
            options = payload.get("stream_options")
            usage = isinstance(options, dict) and options.get("include_usage") is True
            return Prompt(model, said[-1] if said else "", payload.get("stream") is True, usage)
    raise ValueError("model and messages are required")


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def chat_completion(prompt: Prompt) -> Answer:
    asked, said = len(prompt.said), len(prompt.words)
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    head = {"id": "chatcmpl-demo", "created": CREATED, "model": prompt.model}
    if prompt.stream:
        chunk = {**head, "object": "chat.completion.chunk"}
        return _events(_chat_events(prompt, chunk, usage))
    message = {"role": "assistant", "content": "".join(prompt.words), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


def _chat_events(prompt: Prompt, chunk: Json, usage: Json) -> Iterator[bytes]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in prompt.words)]
    for delta in [*deltas, {}]:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield _event({**chunk, "choices": [choice]})
    if prompt.include_usage:
        yield _event({**chunk, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def message(prompt: Prompt) -> Answer:
    head = {"id": "msg_demo", "type": "message", "role": "assistant", "model": prompt.model}
    if prompt.stream:
        return _events(_event(event, event["type"]) for event in _message_events(prompt, head))
    usage = {"input_tokens": len(prompt.said), "output_tokens": len(prompt.words)}
    content = [{"type": "text", "text": "".join(prompt.words)}]
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}
    return _json({**head, **stopped, "content": content, "usage": usage})


def _message_events(prompt: Prompt, head: Json) -> Iterator[Json]:
    """Follow https://docs.anthropic.com/en/docs/build-with-claude/streaming, event by event."""
    usage = {"input_tokens": len(prompt.said), "output_tokens": 1}
    started = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": started}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "ping"}
    for word in prompt.words:
        delta = {"type": "text_delta", "text": word}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}
    total = {"output_tokens": len(prompt.words)}
    yield {"type": "message_delta", "delta": stopped, "usage": total}
    yield {"type": "message_stop"}


def embeddings(payload: Json) -> Answer:
    texts = payload["input"] if isinstance(payload.get("input"), list) else [payload.get("input")]
    data = []
    for index, text in enumerate(texts):
        vector: Any = [float(len(str(text))), 0.5, 0.25]
        if payload.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return _json({"object": "list", "data": data, "model": payload.get("model"), "usage": usage})


def models(provider: str) -> Answer:
    if provider == "openai":
        model = {"id": "gpt-demo", "object": "model", "created": CREATED, "owned_by": "interlock"}
        return _json({"object": "list", "data": [model]})
    model = {"id": "claude-demo", "type": "model", "display_name": "Claude Demo"}
    page = {"has_more": False, "first_id": "claude-demo", "last_id": "claude-demo"}
    return _json({"data": [{**model, "created_at": "2023-11-14T22:13:20Z"}], **page})


def echo(request: Received) -> Answer:
    """Give back all that came, the credential included: the leak that scrubbing has to catch."""
    headers = [[part.decode("latin-1") for part in header] for header in request.headers]
    leak = (b"x-echo-authorization", request.credential)
    return _json({"headers": headers, "body": request.body.decode(errors="replace")}, leak)


def stream_echo(secret: bytes, size: int) -> Answer:
    pieces = (secret[start : start + size] for start in range(0, len(secret), size))
    return Answer(_paced(pieces), b"text/plain")


async def ticks(count: int, interval: float) -> AsyncIterator[bytes]:
    """Yield `count` events, `interval` seconds apart, each with the time it was sent at."""
    for number in range(count):
        yield _event({"tick": number, "time": time.time()})
        await asyncio.sleep(interval)


def failure(request: Received, status: int, text: str) -> Answer:
    """Say what went wrong in the words of the provider that the request is meant for."""
    default = "invalid_request_error"
    if request.provider == "anthropic":
        kind = ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else default)
        shape = {"type": "error", "error": {"type": kind, "message": text}}
        return _json({**shape, "request_id": "req_demo"}, status=status)
    kind = "server_error" if status >= 500 else default
    error = {"message": text, "type": kind, "param": None, "code": OPENAI_CODES.get(status)}
    return _json({"error": error}, status=status)


def route(request: Received) -> Answer:
    """Answer one request; raises ValueError when it makes no sense."""
    query = request.query
    match request.method, *request.segments:
        case "POST", "v1", "chat", "completions":
            return chat_completion(parse_prompt(request.body))
        case "POST", "v1", "messages":
            return message(parse_prompt(request.body))
        case "POST", "v1", "embeddings":
            return embeddings(parse_object(request.body))
        case "GET", "v1", "models":
            return models(request.provider)
        case "DELETE", "v1", "files", name:
            return _json({"id": name, "object": "file", "deleted": True})
        case "GET" | "POST", "echo":
            return echo(request)
        case "GET", "stream-echo":
            return stream_echo(request.credential, int(query.get("chunk", "1")))
        case "GET", "ticks":
            pause = int(query.get("interval", "100")) / 1000
            return Answer(ticks(int(query.get("count", "10")), pause), b"text/event-stream")
        case "GET", "status", code if int(code) >= 400:
            return failure(request, int(code), f"You asked for {code}")
        case "GET", "status", code:
            return Answer(status=int(code))
        case "GET", "bytes", length:
            return Answer(b"x" * int(length), b"application/octet-stream")
        case "GET", "redirect":
            return Answer(status=302, headers=((b"location", query.get("to", "/").encode()),))
    return failure(request, 404, f"Invalid URL ({request.method} {request.path})")


def _json(value: Json, *headers: Header, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status=status, headers=headers)


def _event(data: Json, name: str = "") -> bytes:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()


def _events(events: Iterable[bytes]) -> Answer:
    return Answer(_paced(events), b"text/event-stream")


async def _paced(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(PAUSE)


async def _receive(scope: Json, receive: Receive) -> Received:
    """Read all of a request, or what came of it before the client went away."""
    body = bytearray()
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    version = scope["http_version"]
    return Received(scope["method"], path.decode("latin-1"), version, headers, bytes(body))


async def _send(answer: Answer, send: Send) -> None:
    headers = [(b"content-type", answer.content_type), (b"x-upstream", b"interlock-demo")]
    if isinstance(answer.body, bytes) and answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    headers.extend(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer.body, bytes):
        return await send({"type": "http.response.body", "body": answer.body})
    async for part in answer.body:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up on everyone: neither a stream nor an idle client holds the stop back."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class Upstream:
    """A provider on https://localhost:PORT while its context is open.

    `keys` names the key that each provider accepts under /v1; without one, any or none will do.
    """

    def __init__(self, certificates: Certificates, *, keys: Mapping[str, str] = {}) -> None:
        self._certificates = certificates
        self._keys = keys
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def received(self) -> list[Received]:
        """Return every request so far, oldest first."""
        with self._lock:
            return list(self._received)

    def clear(self) -> None:
        with self._lock:
            self._received.clear()

    async def app(self, scope: Json, receive: Receive, send: Send) -> None:
        """Serve one request of any ASGI server, over HTTP/1.1 or HTTP/2."""
        if scope["type"] != "http":
            return
        request = await _receive(scope, receive)
        with self._lock:
            self._received.append(request)
        await _send(self._answer(request), send)

    def _answer(self, request: Received) -> Answer:
        if request.segments[0] == "v1" and not self._accepts(request):
            return failure(request, 401, "Incorrect API key provided")
        try:
            return route(request)
        except ValueError as error:
            return failure(request, 400, str(error))

    def _accepts(self, request: Received) -> bool:
        """Tell whether the right key came, once and alone.

        Which header carries it is the client's choice: the anthropic SDK 2.12 sends its API key
        as a bearer, curl as in Anthropic's documentation sends x-api-key.
        """
        key = self._keys.get(request.provider)
        if key is None:
            return True
        bearer, bare = request.values(b"authorization"), request.values(b"x-api-key")
        as_bearer = bearer == [f"Bearer {key}".encode()] and not bare
        return as_bearer or (bare == [key.encode()] and not bearer)

    def __enter__(self) -> Self:
        config = self._config()
        config.load()  # here rather than in the thread, so that a bad certificate raises
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="upstream", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            interface="asgi3",
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=0,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=self._certificates.chain,
            ssl_keyfile=self._certificates.key,
        )
