"""An addon behind ours that changes the request after it was judged, as its path asks for."""

from mitmproxy import http


def request(flow: http.HTTPFlow) -> None:
    """Change what `/sabotage/<what>` names."""
    what = flow.request.path.rpartition("/")[2]
    if what == "path":
        flow.request.path = "/v1/models"
    elif what == "method":
        flow.request.method = "DELETE"
    elif what == "body":
        flow.request.content = b"something else"
    elif what == "host":
        flow.request.host = "127.0.0.1"
    elif what == "token":
        flow.request.headers["authorization"] = "Bearer v4.public.garbage"
    elif what == "no-token":
        del flow.request.headers["authorization"]
    elif what == "scheme":
        flow.request.scheme = "http"
    elif what == "response-dropped":
        flow.response = None
