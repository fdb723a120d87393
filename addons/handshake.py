"""The opening handshake of a WebSocket (RFC 6455, 4): what may be asked, and what answers it."""

import base64
import binascii
import hashlib

from mitmproxy import http

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_handshake(request: http.Request) -> bool:
    """True for the one well-formed way to ask for a WebSocket over HTTP/1.1."""
    headers = request.headers
    if request.method != "GET" or "sec-websocket-key" not in headers:
        return False
    try:
        nonce = base64.b64decode(_one(headers, "sec-websocket-key"), validate=True)
    except (ValueError, binascii.Error):
        return False
    return (
        request.http_version == "HTTP/1.1"
        and not request.raw_content
        and _one(headers, "upgrade").lower() == "websocket"
        and "upgrade" in _tokens(headers, "connection")
        and _one(headers, "sec-websocket-version") == "13"
        and len(nonce) == 16
    )


def accepts(response: http.Response, request: http.Request) -> bool:
    """True when an answer opens the very WebSocket that was asked for."""
    headers = response.headers
    key = _one(request.headers, "sec-websocket-key").encode()
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return (
        response.status_code == 101
        and _one(headers, "upgrade").lower() == "websocket"
        and "upgrade" in _tokens(headers, "connection")
        and _one(headers, "sec-websocket-accept") == base64.b64encode(digest).decode()
        and "sec-websocket-extensions" not in headers
        and "transfer-encoding" not in headers
        and headers.get("content-length", "0") == "0"
    )


def _one(headers: http.Headers, name: str) -> str:
    values = headers.get_all(name)
    return values[0].strip() if len(values) == 1 else ""


def _tokens(headers: http.Headers, name: str) -> list[str]:
    return [token.strip().lower() for token in headers.get(name, "").split(",")]
