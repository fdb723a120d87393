"""An addon behind ours that puts the token of the first call into every later one."""

from mitmproxy import http

tokens: list[str] = []


def request(flow: http.HTTPFlow) -> None:
    """Remember the first token; use it again."""
    token = flow.request.headers.get("authorization")
    if token:
        tokens.append(token)
        flow.request.headers["authorization"] = tokens[0]
