"""An addon whose hooks fail where the path of a call asks for it."""

from mitmproxy import http


def requestheaders(flow: http.HTTPFlow) -> None:
    """Fail at the head of a request."""
    _fail(flow, "requestheaders")


def responseheaders(flow: http.HTTPFlow) -> None:
    """Fail at the head of an answer."""
    _fail(flow, "responseheaders")


def response(flow: http.HTTPFlow) -> None:
    """Fail when an answer is complete."""
    _fail(flow, "response")


def _fail(flow: http.HTTPFlow, where: str) -> None:
    if flow.request.path.endswith(f"/fail/{where}"):
        raise ZeroDivisionError("sabotage")
