"""What every request is held to before any route sees it: host, origin, size; and every answer."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.api.errors import refused

LARGEST_BODY = 1 << 20
ON_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Limits:
    """ASGI middleware. `hosts` are the names that we answer to; empty for any.

    The check of the name is what keeps a page in somebody's browser from reaching a service on
    loopback under a name of its own (DNS rebinding); that of the origin keeps out the others.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ON_EVERY_ANSWER.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if refusal := self._objection(headers):
            await refused(*refusal)(scope, receive, dressed)
            return
        await self._app(scope, _bounded(receive), dressed)

    def _objection(self, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return 421, "this service does not go by that name"
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return 403, "other web pages may not use this service"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:20]) > LARGEST_BODY:
            return 413, f"a body has at most {LARGEST_BODY} bytes"
        return None


def _place(origin: str) -> str | None:
    """Host and port of an Origin header; None for no possible origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _bounded(receive: Receive) -> Receive:
    """Count what comes of a body without a length; raises 413."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise HTTPException(413, f"a body has at most {LARGEST_BODY} bytes")
        return message

    return counted
