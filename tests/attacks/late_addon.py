"""An addon behind ours that changes a request after it was judged, as the agent asks it to."""

from typing import Any

from mitmproxy import http
from mitmproxy.connection import Server


def request(flow: http.HTTPFlow) -> None:
    """Change what `X-Late` names."""
    what = flow.request.headers.get("x-late", "")
    change = CHANGES.get(what)
    if change:
        change(flow.request, flow)


def _server(request: http.Request, flow: http.HTTPFlow) -> None:
    flow.server_conn = Server(address=("stranger.test", int(request.headers["x-other"])))


def _via(request: http.Request, flow: http.HTTPFlow) -> None:
    flow.server_conn.via = ("http", ("stranger.test", int(request.headers["x-other"])))


CHANGES: dict[str, Any] = {
    "host": lambda r, _: setattr(r, "host", "stranger.test"),
    "port": lambda r, _: setattr(r, "port", int(r.headers["x-other"])),
    "path": lambda r, _: setattr(r, "path", "/v1/files"),
    "query": lambda r, _: setattr(r, "path", "/v1/models?admin=1"),
    "method": lambda r, _: setattr(r, "method", "DELETE"),
    "scheme": lambda r, _: setattr(r, "scheme", "http"),
    "body": lambda r, _: setattr(r, "content", b"other"),
    "host-header": lambda r, _: r.headers.__setitem__("host", "stranger.test"),
    "trailers": lambda r, _: setattr(r, "trailers", http.Headers(x="y")),
    "transfer-encoding": lambda r, _: r.headers.__setitem__("transfer-encoding", "chunked"),
    "content-length": lambda r, _: r.headers.__setitem__("content-length", "3"),
    "authority": lambda r, _: setattr(r, "authority", "stranger.test"),
    "server": _server,
    "via": _via,
}
