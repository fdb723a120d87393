"""The providers that the local upstream stands in for: one request in, one answer out."""

import asyncio
import base64
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

from interlock.demo.chat import CREATED, chat_completion, message, parse_prompt
from interlock.demo.exchange import Answer, Header, Json, Received, event, parse_object

# https://platform.openai.com/docs/guides/error-codes
OPENAI_CODES = {401: "invalid_api_key", 404: "unknown_url", 429: "rate_limit_exceeded"}
# https://docs.anthropic.com/en/api/errors
ANTHROPIC_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
ANTHROPIC_TYPES |= {413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}


def embeddings(payload: Json) -> Answer:
    texts = payload["input"] if isinstance(payload.get("input"), list) else [payload.get("input")]
    data = []
    for index, text in enumerate(texts):
        vector: Any = [float(len(str(text))), 0.5, 0.25]
        if payload.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    head = {"object": "list", "model": payload.get("model")}
    return Answer.json({**head, "data": data, "usage": usage})


def models(provider: str) -> Answer:
    if provider == "openai":
        model = {"id": "gpt-demo", "object": "model", "created": CREATED, "owned_by": "interlock"}
        return Answer.json({"object": "list", "data": [model]})
    model = {"id": "claude-demo", "type": "model", "display_name": "Claude Demo"}
    page = {"has_more": False, "first_id": "claude-demo", "last_id": "claude-demo"}
    return Answer.json({"data": [{**model, "created_at": "2023-11-14T22:13:20Z"}], **page})


def echo(request: Received) -> Answer:
    """Give back all that came, the credential included: the leak that scrubbing has to catch."""
    headers = [[part.decode("latin-1") for part in header] for header in request.headers]
    body = request.body.decode(errors="replace")
    return Answer.json({"headers": headers, "body": body}, leak(request))


def leak(request: Received) -> Header:
    """Give back the credential alone, in a header."""
    return b"x-echo-authorization", request.credential


def stream_echo(secret: bytes, size: int) -> Answer:
    pieces = (secret[start : start + size] for start in range(0, len(secret), size))
    return Answer.parts(pieces, b"text/plain")


async def ticks(count: int, interval: float) -> AsyncIterator[bytes]:
    """Yield `count` events, `interval` seconds apart, each with the time it was sent at."""
    for number in range(count):
        yield event({"tick": number, "time": time.time()})
        await asyncio.sleep(interval)


def failure(request: Received, status: int, text: str) -> Answer:
    """Say what went wrong in the words of the provider that the request is meant for."""
    default = "invalid_request_error"
    if request.provider == "anthropic":
        kind = ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else default)
        shape = {"type": "error", "error": {"type": kind, "message": text}}
        return Answer.json({**shape, "request_id": "req_demo"}, status=status)
    kind = "server_error" if status >= 500 else default
    error = {"message": text, "type": kind, "param": None, "code": OPENAI_CODES.get(status)}
    return Answer.json({"error": error}, status=status)


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
            return Answer.json({"id": name, "object": "file", "deleted": True})
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
