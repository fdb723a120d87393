"""An addon behind ours that shows the agent the token of its call, once that is worthless."""

from mitmproxy import http


def response(flow: http.HTTPFlow) -> None:
    """Copy it from the request, where every addon sees it."""
    if flow.response:
        flow.response.headers["x-token"] = flow.request.headers.get("authorization", "")
