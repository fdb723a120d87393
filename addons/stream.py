"""Passes event streams on as they come, and tells the agent how its call was decided."""

from mitmproxy import http

from addons.door import Door
from addons.refusals import DECISION_HEADER, DECISION_ID_HEADER

STREAMED_TYPES = (
    "text/event-stream",
    "application/x-ndjson",
    "application/stream+json",
    "application/grpc",
)
# Answers up to this size are kept whole, so that people can read them in mitmweb.
KEPT_BYTES = 1 << 20


class Stream:
    """Decides how an answer travels; never whether."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Mark what must not wait, and add our headers in place of any the upstream sent."""
        response = flow.response
        account = self._door.accounts.get(flow.id)
        if response is None or account is None:
            return
        for name in [name for name in response.headers if name.lower().startswith("interlock-")]:
            del response.headers[name]
        response.headers[DECISION_HEADER] = account.verdict.decision.label
        response.headers[DECISION_ID_HEADER] = account.verdict.decision.id
        response.headers.pop("alt-svc", None)
        response.stream = _must_not_wait(response)


def _must_not_wait(response: http.Response) -> bool:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = response.headers.get("content-length", "")
    large = length.isascii() and length.isdigit() and int(length) > KEPT_BYTES
    return large or media_type.startswith(STREAMED_TYPES)
