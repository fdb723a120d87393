"""A person in front of mitmweb who kills the calls of one path while their answer comes."""

from mitmproxy import http


def responseheaders(flow: http.HTTPFlow) -> None:
    """Kill it as the button does."""
    if flow.request.path.startswith("/bytes/"):
        flow.kill()
