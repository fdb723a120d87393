"""Exports to a URL: every batch is one POST, and has arrived with the answer 2xx."""

import json
import ssl
from collections.abc import Mapping, Sequence

import httpx

from interlock.ledger.export.destination import ExportError, Mark
from interlock.ledger.export.format import Message

TIME_LIMIT_S = 30.0
_PASSING = (408, 425, 429)


class Post:
    """Posts where it was told to: no redirects, no proxies of the environment."""

    def __init__(
        self, url: str, content_type: str, headers: Mapping[str, str], trust: ssl.SSLContext
    ) -> None:
        self._url = url
        # What a query says may be a token of the receiver.
        self._name = url.partition("?")[0]
        own = {"Content-Type": content_type, "User-Agent": "Interlock"}
        self._client = httpx.Client(
            headers=own | dict(headers), verify=trust, trust_env=False, timeout=TIME_LIMIT_S
        )

    def begin(self, mark: Mark) -> Mark:
        """There is nothing to go on with."""
        return mark

    def send(self, messages: Sequence[Message]) -> Mark:
        """Post the lines of a batch."""
        body = "".join(f"{message.text}\n" for message in messages).encode()
        try:
            answer = self._client.post(self._url, content=body)
        except (httpx.HTTPError, OSError) as e:
            raise ExportError(f"{self._name}: {str(e) or type(e).__name__}", passing=True) from None
        status = answer.status_code
        if not answer.is_success:
            passing = status >= 500 or status in _PASSING
            raise ExportError(f"{self._name}: answered {status}", passing=passing)
        if left := _rejected(answer):
            raise ExportError(f"{self._name}: the receiver rejected {left} of the records")
        return {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _rejected(answer: httpx.Response) -> int:
    """How many records an OTLP receiver did not take although it said 200 (partial success)."""
    try:
        said = json.loads(answer.content or b"{}")
        return int(said["partialSuccess"]["rejectedLogRecords"])
    except (ValueError, KeyError, TypeError):
        return 0
